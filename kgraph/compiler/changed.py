"""Finds layers whose options were set anew after they were made.

`dropout.rate = 0.2` and `head.activation = relu` change what `call` does; but what a graph records
of a layer are the arguments that it was made with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kgraph.graph.graph import Graph
from kgraph.graph.node import INPUT_CLASS, LayerSpec
from kgraph.layers.base.layer import Layer
from kgraph.registry import describe


def without_changed(graph: Graph, layers: Mapping[str, Layer]) -> Graph:
    """Returns the graph with each changed layer described as a user's: its options tell nothing.

    Args:
        graph: a model's own.
        layers: the live layers that its names stand for.
    """
    specs = {name: _now(spec, layers[name]) for name, spec in graph.layers.items()}
    changed = any(specs[name] is not spec for name, spec in graph.layers.items())
    return replace(graph, layers=specs) if changed else graph


def _now(spec: LayerSpec, layer: Any) -> LayerSpec:
    if spec.class_name == INPUT_CLASS:
        return spec
    if spec.graph is not None:
        inner = without_changed(spec.graph, layer.graph_layers)
        return spec if inner is spec.graph else replace(spec, graph=inner)
    return replace(spec, own=False) if spec.own and _is_changed(layer) else spec


def _is_changed(layer: Layer) -> bool:
    return bool(new_options(layer)) or any(_is_changed(child) for _, child in layer.children())


def new_options(layer: Layer) -> dict[str, Any]:
    """Returns the options of one of kgraph's own layers that are not as it was made, by name.

    Layers inside are not looked into; of a user's class options tell nothing anyway.
    """
    if not layer.is_own or layer.inner_graph is not None:
        return {}
    args, options = layer._arguments
    made, now = vars(type(layer)(*args, **options)), vars(layer)
    names = layer.recorded_arguments().keys() & made.keys() & now.keys()
    return {name: now[name] for name in sorted(names) if not _is_same(made[name], now[name])}


def _is_same(one: Any, other: Any) -> bool:
    if one is other or isinstance(one, Layer):
        return True
    return type(one) is type(other) and describe(one) == describe(other)
