"""Brings what a graph says of its layers up to date, and finds options that were set anew.

`dropout.rate = 0.2` and `head.activation = relu` change what `call` does; but what a graph records
of a layer are the arguments that it was made with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kgraph.declared import is_own
from kgraph.graph.graph import Graph
from kgraph.graph.node import LayerSpec
from kgraph.graph.traits import Traits
from kgraph.layers.base.layer import Layer
from kgraph.layers.base.traits import traits_of
from kgraph.layers.base.tree import parts_of
from kgraph.registry import describe, recorded_arguments


def without_changed(graph: Graph, layers: Mapping[str, Layer]) -> Graph:
    """Returns the graph with the traits that its layers have now.

    Each changed layer is described as a user's that says nothing but whether it keeps rows apart:
    its options tell nothing.

    Args:
        graph: a model's own.
        layers: the live layers that its names stand for.
    """
    specs = {name: _now(spec, layers[name]) for name, spec in graph.layers.items()}
    changed = any(specs[name] is not spec for name, spec in graph.layers.items())
    return replace(graph, layers=specs) if changed else graph


def _now(spec: LayerSpec, layer: Any) -> LayerSpec:
    if spec.is_input:
        return spec
    parts = list(parts_of(layer))
    traits = traits_of(layer, parts)
    if spec.graph is not None:
        inner = without_changed(spec.graph, layer._kgraph.layers)
        same = inner is spec.graph and traits == spec.traits
        return spec if same else replace(spec, graph=inner, traits=traits)
    if spec.own and any(map(new_options, parts)):
        rows = Traits(rows_independent=traits.rows_independent)
        return replace(spec, own=False, traits=rows)
    return spec if traits is spec.traits or traits == spec.traits else replace(spec, traits=traits)


def new_options(layer: Layer) -> dict[str, Any]:
    """Returns the options of one of kgraph's own layers that are not as it was made, by name.

    Layers inside are not looked into; of a user's class options tell nothing anyway.
    """
    if not is_own(type(layer)) or layer._kgraph_inner_graph is not None:
        return {}
    args, options = layer._kgraph.arguments
    made, now = vars(type(layer)(*args, **options)), vars(layer)
    names = recorded_arguments(layer).keys() & made.keys() & now.keys()
    return {name: now[name] for name in sorted(names) if not _is_same(made[name], now[name])}


def _is_same(one: object, other: object) -> bool:
    if one is other or isinstance(one, Layer):
        return True
    return type(one) is type(other) and describe(one) == describe(other)
