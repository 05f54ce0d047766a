"""What a layer says of itself now: its class's word, and that of the layers inside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kgraph import activations
from kgraph.declared import comes_from, is_own, speaker, word_of
from kgraph.graph.traits import Activated, RowsIndependent, Traits
from kgraph.layers.base.tree import children
from kgraph.types import Function

_NAMES = {
    id(function): name
    for name, function in vars(activations).items()
    if callable(function) and not name.startswith("_")
}


def traits_of(layer: Any) -> Traits:
    """Returns what a layer says of itself; nothing is left open."""
    said = _said(layer)
    shapes = is_own(type(layer)) if said.same_shapes is None else said.same_shapes
    return replace(said, rows_independent=_rows(layer, said), same_shapes=shapes)


def activated(layer: Any, option: str | None = "activation") -> Activated:
    """Returns what a layer that ends in its attribute `activation` says of it."""
    return Activated(name_of(layer.activation), option)


def name_of(function: Function) -> str:
    """Returns the name of a function of `kgraph.activations`, or "" for another."""
    return _NAMES.get(id(function), "")


def _said(layer: Any) -> Traits:
    return word_of(layer) or Traits()


def _rows(layer: Any, said: Traits) -> RowsIndependent:
    found = [_rows(child, _said(child)) for _, child in children(layer)]
    if said.rows_independent is not None:
        found.append(said.rows_independent)
    else:  # a built-in class, or a subclass that leaves it as it is
        found.append(is_own(speaker(type(layer))) and _keeps_rows_apart(layer))
    return False if False in found else "at inference" if "at inference" in found else True


def _keeps_rows_apart(layer: Any) -> bool:
    """Tells whether rows stay independent in a layer of kgraph's that says nothing of them."""
    function, axis = getattr(layer, "activation", None), getattr(layer, "axis", None)
    known = function is None or comes_from(function, "kgraph", "jax")
    axes = axis if isinstance(axis, (list, tuple)) else (axis,)
    # Counted from the end, -2 is the rows of a matrix; the last axis never is.
    along_rows = any(isinstance(a, int) and (a == 0 or a < -1) for a in axes)
    return known and not along_rows and not getattr(layer, "stateful", False)
