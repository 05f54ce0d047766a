"""Adds what the last product is made of to the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from kgraph.compiler.factors import factors_node
from kgraph.compiler.foldable import kernel_shape
from kgraph.graph.graph import Graph
from kgraph.graph.node import Node, Ref
from kgraph.graph.structure import Slot
from kgraph.graph.traits import Projection


def expose_factors(wanted: Mapping[int, int]) -> Callable[[Graph], Graph]:
    """Returns a pass that appends, for outputs that are products with a kernel, what is multiplied:
    inputs, kernel and, if there is one, bias.

    A loss can then be computed piece by piece, and the product exists only for what else reads it:
    predictions do. Outputs for which `whole_because` has a reason are left as they are;
    `factors_of` says which ones are not.

    Needs: `expose_logits`, for outputs that end in a softmax. Keeps: every output; parameter paths;
    random keys.

    Args:
        wanted: for the number of an output, the number of that which holds its logits.
    """

    def pass_(graph: Graph) -> Graph:
        for output, logits in sorted(wanted.items()):
            if whole_because(graph, output, logits) is None:
                graph = _expose(graph, graph.outputs[logits])
        return graph

    pass_.__name__ = "expose_factors"
    return pass_


def factors_of(graph: Graph, logits: int) -> slice | None:
    """Returns which outputs are the factors of an output that `expose_factors` was given."""
    name = f"{graph.outputs[logits].node}.factors"
    places = [i for i, ref in enumerate(graph.outputs) if ref.node == name]
    return slice(places[0], places[-1] + 1) if places else None


def whole_because(graph: Graph, output: int, logits: int) -> str | None:
    """Returns why an output has to be computed as a whole, or None if it need not be."""
    ref = graph.outputs[logits]
    node = graph.by_name[ref.node]
    spec, ends = graph.layers[node.layer], graph.by_name[graph.outputs[output].node]
    said, last = spec.traits.projection, spec.traits.activation
    if said is None or not _does(node, said):
        return f"{node.name!r} ({spec.class_name}) is no product of which its traits say so"
    if len(kernel_shape(spec, said.kernel)) != 2:
        return f"the kernel of {node.name!r} has other axes than features and classes"
    if last is not None and last.function != "linear":
        return f"{node.name!r} ends in {last.function or 'a function'!r}"
    if "loss" in node.effects or "loss" in ends.effects:
        return f"{node.name!r} adds a loss of its own output"
    known = {Ref(node.name), Ref(ends.name)}
    readers = [other.name for other in graph.nodes if known & {*other.inputs}]
    if others := [name for name in readers if name != ends.name]:
        return f"{others[0]!r} reads them too"
    if graph.outputs.count(ref) + graph.outputs.count(Ref(ends.name)) > 2:
        return f"{node.name!r} is an output several times"
    return None


def _does(node: Node, said: Projection) -> bool:
    """Tells whether a call is the product that its layer speaks of, and nothing else."""
    if len(node.inputs) != 1 or node.args[:1] != (Slot(0),) or len(node.outputs) != 1:
        return False
    options = (node.args[1:], node.kwargs)
    return options in ((((True,), {}), ((), {said.flag: True})) if said.flag else (((), {}),))


def _expose(graph: Graph, ref: Ref) -> Graph:
    product = graph.by_name[ref.node]
    said = graph.layers[product.layer].traits.projection
    assert said is not None
    made, spec = factors_node(graph, product, said)
    nodes = [n for node in graph.nodes for n in ((node, made) if node is product else (node,))]
    return replace(
        graph,
        nodes=tuple(nodes),
        layers={**graph.layers, made.layer: spec},
        outputs=(*graph.outputs, *(Ref(made.name, i) for i in range(len(made.outputs)))),
    )
