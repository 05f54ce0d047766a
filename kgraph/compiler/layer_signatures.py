"""What live layers tell beyond their graph about whether one body may compute several of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from kgraph.compiler.changed import new_options
from kgraph.declared import is_own
from kgraph.descriptions import Opaque, names_foreign, text_of
from kgraph.graph.graph import Graph
from kgraph.graph.structure import leaves
from kgraph.layers.base.core import seed_of
from kgraph.layers.base.layer import Layer
from kgraph.layers.base.traits import traits_of
from kgraph.layers.base.tree import named_weights, parts_of
from kgraph.layers.base.variable import Variable
from kgraph.registry import config_of, describe

_NAMING = frozenset({"explicit_name", "kept_name", "order", "built", "_policy", "_trainable"})


def layer_signatures(
    layers: Mapping[str, Layer],
    trained: Mapping[int, bool],
    suited: Collection[str] = (),
    as_made: Collection[str] = (),
) -> dict[str, str | None]:
    """Returns a text for each layer, equal for those that one body may compute; None for never.

    Equal must be: which weights are trained, their regularizers and constraints; whether layers are
    frozen, and options set anew since they were made; and, for classes that are not kgraph's own,
    every attribute. Never stacked are layers that draw by a numbered
    seed, have weights in common with another layer or attributes that cannot be compared; and
    convolutions that are not `suited`.

    Args:
        layers: the live layers by name.
        trained: for each weight (by identity), whether training changes it.
        suited: names of convolutions that may run in a loop.
        as_made: names of layers whose options are known to be those they were made with.
    """
    distinct = {id(layer): layer for layer in layers.values()}
    loops = {id(layer) for name, layer in layers.items() if name in suited}
    plain = {id(layer) for name, layer in layers.items() if name in as_made}
    weights = {key: list(named_weights(layer)) for key, layer in distinct.items()}
    uses = Counter(id(weight) for own in weights.values() for _, weight in own)
    known: dict[int, str | None] = {}
    for key, layer in distinct.items():
        shares = any(uses[id(weight)] > 1 for _, weight in weights[key])
        options = (weights[key], trained, key in loops, key in plain)
        known[key] = None if shares else _signature(layer, *options)
    return {name: known[id(layer)] for name, layer in layers.items()}


def _signature(
    layer: Layer,
    named: Sequence[tuple[str, Variable]],
    trained: Mapping[int, bool],
    loops: bool,
    as_made: bool,
) -> str | None:
    inside = list(parts_of(layer))
    if not layer.built or any(seed_of(item) is not None for item in inside):
        return None
    if not loops and any(traits_of(item).convolution for item in inside):
        return None
    weights = [
        [path, w.dtype, w.trainable, trained.get(id(w), False), describe(w.regularizer),
         describe(w.constraint)]
        for path, w in named
    ]  # fmt: skip
    try:
        own = [
            _own_facts(item, as_made) if is_own(type(item)) else _attributes(item)
            for item in inside
        ]
    except _NotComparable:
        return None
    return text_of([weights, own])


class _NotComparable(Exception):
    """An attribute says nothing about whether it equals another."""


def _own_facts(layer: Layer, as_made: bool) -> Any:
    """Returns what options of a layer of kgraph's own do not tell: batch statistics are frozen by a
    flag alone, and options may have been set anew.
    """
    return [layer.trainable, _comparable({} if as_made else new_options(layer))]


def _attributes(layer: Layer) -> Any:
    skip = layer._kgraph_unbound | _NAMING
    return {
        name: _comparable(value) for name, value in sorted(vars(layer).items()) if name not in skip
    }


def _comparable(value: object) -> Any:
    if isinstance(value, (Variable, Layer)):
        return type(value).__qualname__  # compared by themselves
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(_comparable, value)]
    if isinstance(value, dict):
        return {str(key): _comparable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [str(value.dtype), list(value.shape), value.tobytes().hex()]
    described = describe(value)
    if isinstance(described, Opaque) and not _is_plain_function(value):
        raise _NotComparable
    return described


def _is_plain_function(value: object) -> bool:
    """Tells whether the same object means the same: a function or class, nothing with state."""
    return callable(value) and hasattr(value, "__qualname__")


def has_foreign_code(layer: Layer) -> bool:
    """Tells whether a layer runs code that is not kgraph's, so that its class says nothing."""
    return any(
        not is_own(type(item)) or names_foreign(describe(config_of(item)))
        for item in parts_of(layer)
    )


def draws_always(graph: Graph, layers: Mapping[str, Layer]) -> bool:
    """Tells whether a graph may draw random numbers outside of training as well.

    That is where a call says so (`Dropout(0.5)(x, training=True)`), or in code of the user's.
    """
    for node in graph.nodes:
        inner = graph.layers[node.layer].graph
        if "random" not in node.effects:
            continue
        if any(item is True for item in leaves((node.args, node.kwargs))):
            return True
        if inner is not None and draws_always(inner, _layers_inside(node.layer, layers)):
            return True
        if node.layer in layers and has_foreign_code(layers[node.layer]):
            return True
    return False


def _layers_inside(name: str, layers: Mapping[str, Layer]) -> Mapping[str, Layer]:
    """Returns the layers of a model that is called as a whole, or those around repeated blocks."""
    model: Any = layers.get(name)
    return layers if model is None else getattr(model._kgraph, "layers", {})
