"""`verify` finds every kind of broken graph and names the user's line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kgraph import Input, Model
from kgraph.compiler import run_passes
from kgraph.errors import GraphError
from kgraph.graph import Graph, Node, Ref, TensorSpec, verify
from kgraph.layers import Concatenate, Dense, Embedding


def make_graph() -> Graph:
    x, y = Input((3,), name="x"), Input((4,), name="y")
    joined = Concatenate(name="joined")([x, y])
    return Model([x, y], Dense(2, name="head")(joined)).graph


def with_node(graph: Graph, name: str, **changes) -> Graph:
    nodes = [replace(n, **changes) if n.name == name else n for n in graph.nodes]
    return replace(graph, nodes=tuple(nodes))


def reordered(graph: Graph) -> Graph:
    return replace(graph, nodes=graph.nodes[::-1])


SPEC = TensorSpec(("batch", 2), "float32")
BROKEN = {
    "twice": (lambda g: replace(g, nodes=(*g.nodes, g.nodes[-1])), "'head' names two nodes"),
    "no layer": (lambda g: with_node(g, "head", layer="gone"), "'head' calls a layer 'gone'"),
    "missing node": (
        lambda g: replace(g, nodes=tuple(n for n in g.nodes if n.name != "joined")),
        "'head' reads 'joined.*is not in the graph",
    ),
    "wrong order": (reordered, r"'head' reads 'joined.*comes later \(a cycle\?\)"),
    "self": (lambda g: with_node(g, "head", inputs=(Ref("head"),)), "'head' reads 'head.*cycle"),
    "no output": (
        lambda g: with_node(g, "head", inputs=(Ref("joined", 1),)),
        "'joined' has no output",
    ),
    "negative": (lambda g: with_node(g, "head", inputs=(Ref("joined", -1),)), "no output"),
    "no mask": (
        lambda g: with_node(g, "head", masks=(Ref("joined", 0, mask=True),)),
        "'joined' has no output 'joined.*mask'",
    ),
    "slots": (
        lambda g: with_node(g, "head", args=()),
        "arguments of 'head' do not use its 1 inputs",
    ),
    "structure": (lambda g: with_node(g, "head", structure=None), "structure of 'head'"),
    "mask count": (lambda g: with_node(g, "head", masks=()), "'head' has 0 masks"),
    "mask specs": (lambda g: with_node(g, "head", mask_specs=()), "'head' does not say"),
    "mask of nowhere": (
        lambda g: with_node(g, "head", output_masks=(Ref("gone", mask=True),)),
        "mask of 'head' is not in the graph",
    ),
    "mask that nobody makes": (
        lambda g: with_node(g, "head", output_masks=(Ref("joined", mask=True),)),
        "'joined' has no output 'joined.*mask'",
    ),
    "own mask without spec": (
        lambda g: with_node(g, "head", output_masks=(Ref("head", mask=True),)),
        "'head' has no output 'head.*mask'",
    ),
    "unfed": (lambda g: replace(g, inputs=g.inputs[:1]), "the input 'y' is read but not fed"),
    "output specs": (lambda g: with_node(g, "head", outputs=(SPEC, SPEC)), "structure of 'head'"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_graph_is_reported_with_the_users_line(how):
    breaks, text = BROKEN[how]
    with pytest.raises(GraphError, match=text) as caught:
        verify(breaks(make_graph()))
    assert "test_verify.py:" in str(caught.value)


WITHOUT_A_LINE = {
    "output": (
        lambda g: replace(g, outputs=(Ref("gone"),)), r"output 'gone\[0\]' is not in the graph"
    ),
    "fed twice": (lambda g: replace(g, inputs=g.inputs * 2), "listed twice[\\s\\S]*x, y, x, y"),
    "fed from nowhere": (
        lambda g: replace(g, inputs=(*g.inputs, Ref("gone"))), "'gone' is not an input node"
    ),
    "fed into a call": (
        lambda g: replace(g, inputs=(*g.inputs, Ref("head"))), "'head' is not an input node"
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", WITHOUT_A_LINE)
def test_a_broken_list_of_inputs_or_outputs_is_reported(how):
    breaks, text = WITHOUT_A_LINE[how]
    with pytest.raises(GraphError, match=text):
        verify(breaks(make_graph()))


def test_whole_graphs_pass():
    verify(make_graph())
    words = Input((None,), dtype="int32")
    verify(Model(words, Embedding(5, 3, mask_zero=True)(words)).graph)


def test_a_pass_that_breaks_the_graph_is_named():
    def bad_pass(graph: Graph) -> Graph:
        return with_node(graph, "head", inputs=(Ref("gone"),))

    with pytest.raises(
        GraphError, match=r"The pass 'bad_pass' broke the graph[\s\S]*'head' reads 'gone"
    ):
        run_passes(make_graph(), (bad_pass,))


def test_a_node_and_a_reference_are_plain_data():
    assert Node("a", "a") == Node("a", "a")
    assert str(Ref("a", 1, mask=True)) == "a[1].mask"
