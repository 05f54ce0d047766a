"""Adds the logits in front of a final softmax or sigmoid to the outputs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from kgraph.graph.graph import Graph
from kgraph.graph.node import LayerSpec, Node, Ref
from kgraph.graph.structure import Slot

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
    if not spec.own:
        return None
    if spec.class_name == "Softmax":
        return "softmax" if spec.config.get("axis") == -1 and not any(node.masks) else None
    function = _function_name(spec.config.get("activation"))
    calls = sum(other.layer == node.layer for other in graph.nodes)
    one_output = len(node.outputs) == 1 and spec.graph is None
    if function not in _FUNCTIONS or not one_output or "loss" in node.effects:
        return None
    known = spec.class_name in ("Activation", "Dense", "EinsumDense") or "Conv" in spec.class_name
    return function if known and (calls == 1 or spec.class_name == "Activation") else None


def is_linear(graph: Graph, index: int) -> bool:
    """Tells whether an output is surely that of one of kgraph's layers without activation."""
    spec = graph.layers[graph.by_name[graph.outputs[index].node].layer]
    has_option = spec.own and "activation" in spec.config and spec.class_name != "Activation"
    return has_option and _function_name(spec.config["activation"]) in (None, "linear")


def _function_name(value: Any) -> str | None:
    if isinstance(value, dict):
        return value.get("function")
    return value if isinstance(value, str) else None


def _expose(graph: Graph, index: int) -> Graph:
    function = final_activation(graph, index)
    if function is None:
        return graph
    ref = graph.outputs[index]
    node = graph.by_name[ref.node]
    spec = graph.layers[node.layer]
    if spec.class_name in ("Activation", "Softmax"):
        return replace(graph, outputs=(*graph.outputs, node.inputs[0]))
    return _split(graph, node, spec, function, index)


def _split(graph: Graph, node: Node, spec: LayerSpec, function: str, index: int) -> Graph:
    """Splits `Dense(activation="softmax")` into a linear Dense and an Activation."""
    linear = replace(spec, config={**spec.config, "activation": "linear"})
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
    outputs = [Ref(name) if out == Ref(node.name) else out for out in graph.outputs]
    return replace(
        graph,
        nodes=tuple(nodes),
        layers={**graph.layers, node.layer: linear, name: LayerSpec("Activation", config)},
        outputs=(*outputs, Ref(node.name)),
    )
