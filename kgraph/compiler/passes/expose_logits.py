"""Adds the logits in front of a final softmax or sigmoid to the outputs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from kgraph.graph.graph import Graph
from kgraph.graph.node import LayerSpec, Node, Ref
from kgraph.graph.structure import Slot
from kgraph.graph.traits import Activated, Traits

_FUNCTIONS = ("softmax", "sigmoid")


def expose_logits(wanted: Collection[int]) -> Callable[[Graph], Graph]:
    """Returns a pass that appends, for each output in `wanted`, the tensor before its last
    activation.

    A loss that takes logits can then be computed from them, which is exact where log(softmax(x))
    has lost all digits; metrics and predictions still read the probabilities. The tensors are
    appended to `outputs` in ascending order of `wanted`; `logits_of(graph)` says which outputs
    have some.

    Needs: nothing. Keeps: every output; parameter paths; random keys.
    """

    def pass_(graph: Graph) -> Graph:
        for index in sorted(wanted):
            graph = _expose(graph, index)
        return graph

    pass_.__name__ = "expose_logits"
    return pass_


def final_activation(graph: Graph, index: int) -> str | None:
    """Returns "softmax" or "sigmoid" if the output's last step is one and can be split off."""
    ref = graph.outputs[index]
    node = graph.by_name[ref.node]
    spec = graph.layers[node.layer]
    last = spec.traits.activation
    several = len(node.outputs) > 1
    if last is None or last.function not in _FUNCTIONS or several or "loss" in node.effects:
        return None
    if last.option is None:
        masked = last.uses_mask and (any(node.masks) or len(node.inputs) > 1)
        return None if masked else last.function
    calls = sum(other.layer == node.layer for other in graph.nodes)
    return last.function if calls == 1 else None


def is_linear(graph: Graph, index: int) -> bool:
    """Tells whether an output is surely that of a layer that could end in an activation."""
    last = graph.layers[graph.by_name[graph.outputs[index].node].layer].traits.activation
    return last is not None and last.option is not None and last.function == "linear"


def _expose(graph: Graph, index: int) -> Graph:
    function = final_activation(graph, index)
    if function is None:
        return graph
    ref = graph.outputs[index]
    node = graph.by_name[ref.node]
    spec = graph.layers[node.layer]
    last = spec.traits.activation
    if last is None or last.option is None:
        return replace(graph, outputs=(*graph.outputs, node.inputs[0]))
    return _split(graph, node, spec, last)


def _split(graph: Graph, node: Node, spec: LayerSpec, last: Activated) -> Graph:
    """Splits `Dense(activation="softmax")` into a linear Dense and an Activation."""
    function, option = last.function, str(last.option)
    linear = replace(
        spec,
        config={**spec.config, option: "linear"},
        traits=replace(spec.traits, activation=replace(last, function="linear")),
    )
    name = f"{node.name}.{function}"
    config = {"activation": function, "dtype": spec.config.get("dtype")}
    activation = replace(
        node, name=name, layer=name, args=(Slot(0),), kwargs={}, structure=Slot(0),
        inputs=(Ref(node.name),), masks=(None,),
        mask_specs=(None,), effects=(),
    )  # fmt: skip
    nodes: list[Node] = []
    for other in graph.nodes:
        reads = tuple(Ref(name) if ref == Ref(node.name) else ref for ref in other.inputs)
        nodes.append(replace(other, inputs=reads))
        if other.name == node.name:
            nodes.append(activation)
    traits = Traits(rows_independent=True, activation=Activated(function))
    after = LayerSpec("Activation", config, traits=traits)
    outputs = [Ref(name) if out == Ref(node.name) else out for out in graph.outputs]
    return replace(
        graph,
        nodes=tuple(nodes),
        layers={**graph.layers, node.layer: linear, name: after},
        outputs=(*outputs, Ref(node.name)),
    )
