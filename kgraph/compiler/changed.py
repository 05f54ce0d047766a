"""Brings what a graph says of its layers up to date, and finds options that were set anew.

`dropout.rate = 0.2` and `head.activation = relu` change what `call` does; but what a graph records
of a layer are the arguments that it was made with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from kgraph.declared import is_own
from kgraph.graph.graph import Graph
from kgraph.graph.node import LayerSpec
from kgraph.graph.traits import Traits
from kgraph.layers.base.layer import Layer
from kgraph.layers.base.traits import traits_of
from kgraph.layers.base.tree import parts_of
from kgraph.registry import PLAIN, describe, recorded_arguments

Made: TypeAlias = dict[Any, dict[str, Any]]
"""Attributes of layers that were just made, by class and options."""


def without_changed(graph: Graph, layers: Mapping[str, Layer]) -> Graph:
    """Returns the graph with the traits that its layers have now.

    Each changed layer is described as a user's that says nothing but whether it keeps rows apart:
    its options tell nothing.

    Args:
        graph: a model's own.
        layers: the live layers that its names stand for.
    """
    made: Made = {}
    specs = {name: _now(spec, layers[name], made) for name, spec in graph.layers.items()}
    changed = any(specs[name] is not spec for name, spec in graph.layers.items())
    return replace(graph, layers=specs) if changed else graph


def _now(spec: LayerSpec, layer: Any, made: Made) -> LayerSpec:
    if spec.is_input:
        return spec
    parts = list(parts_of(layer))
    traits = traits_of(layer, parts)
    if spec.graph is not None:
        inner = without_changed(spec.graph, layer._kgraph.layers)
        same = inner is spec.graph and traits == spec.traits
        return spec if same else replace(spec, graph=inner, traits=traits)
    if spec.own and any(new_options(part, made) for part in parts):
        rows = Traits(rows_independent=traits.rows_independent)
        return replace(spec, own=False, traits=rows)
    return spec if traits is spec.traits or traits == spec.traits else replace(spec, traits=traits)


def new_options(layer: Layer, made: Made | None = None) -> dict[str, Any]:
    """Returns the options of one of kgraph's own layers that are not as it was made, by name.

    Layers inside are not looked into; of a user's class options tell nothing anyway.

    Args:
        layer: the layer.
        made: keeps attributes of new layers, for others that were made of equal options.
    """
    if not is_own(type(layer)) or layer._kgraph_inner_graph is not None:
        return {}
    given, now = recorded_arguments(layer), vars(layer)
    names = [name for name in given if name in now and not _is_plainly(given[name], now[name])]
    if not names:
        return {}
    new = _as_made(layer, {} if made is None else made)
    changed = (n for n in sorted(names) if n in new and not _is_same(new[n], now[n]))
    return {name: now[name] for name in changed}


def _as_made(layer: Layer, made: Made) -> dict[str, Any]:
    """Returns the attributes of a new layer of the same options."""
    args, options = layer._kgraph.arguments
    given = {**dict(enumerate(args)), **options, "name": None}
    key = type(layer), *((name, _identity(value)) for name, value in given.items())
    if key not in made:
        made[key] = vars(type(layer)(*args, **options))
    return made[key]


def _identity(value: object) -> object:
    """Returns what tells an option from others, by type as well: 1, 1.0 and True are equal."""
    items = value if type(value) is tuple else (value,)
    is_plain = all(type(item) in PLAIN or isinstance(item, float) for item in items)
    return repr(value) if is_plain else id(value)  # objects live as long as the layer


def _is_plainly(given: object, now: object) -> bool:
    return given is now or (type(given) is type(now) and type(now) in PLAIN and given == now)


def _is_same(made: object, now: object) -> bool:
    if isinstance(made, Layer) or _is_plainly(made, now):
        return True
    return type(made) is type(now) and describe(made) == describe(now)
