"""What a layer says of itself now: its class's word, and that of the layers inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from kgraph import activations
from kgraph.declared import comes_from, is_own, speaker, word_of
from kgraph.errors import ConfigError
from kgraph.graph.traits import Activated, RowsIndependent, Traits
from kgraph.layers.base.call_spec import call_spec
from kgraph.layers.base.tree import parts_of
from kgraph.types import Function

_NAMES = {
    id(known): name
    for name, function in vars(activations).items()
    if callable(function) and not name.startswith("_")
    for known in (function, getattr(function, "__wrapped__", function))
}


def traits_of(layer: Any, parts: Sequence[object] | None = None) -> Traits:
    """Returns what a layer says of itself; nothing is left open.

    Args:
        layer: the layer.
        parts: what `parts_of` gives for it, if that is known.
    """
    said = _said(layer)
    found: list[RowsIndependent] = [
        _rows(part, said if part is layer else _said(part)) for part in parts or parts_of(layer)
    ]
    return _resolved(said, _together(found), has_same_shapes(layer, said))


def _together(found: Sequence[RowsIndependent]) -> RowsIndependent:
    """Returns what holds of a layer of several parts; those inside are not told of rows."""
    if False in found:
        return False
    if len(found) == 1:
        return found[0]
    return True if set(found) == {True} else "at inference"


@lru_cache(maxsize=512)  # thousands of layers say the same
def _resolved(said: Traits, rows: RowsIndependent, shapes: bool) -> Traits:
    return replace(said, rows_independent=rows, same_shapes=shapes)


def has_same_shapes(layer: Any, said: Traits | None = None) -> bool:
    """Tells whether shapes follow from class, options and inputs; see `Traits.same_shapes`."""
    found = (said or _said(layer)).same_shapes
    return is_own(type(layer)) if found is None else found


def activated(layer: Any, option: str | None = "activation") -> Activated:
    """Returns what a layer that ends in its attribute `activation` says of it."""
    return Activated(name_of(layer.activation), option)


def name_of(function: Function) -> str:
    """Returns the name of a function of `kgraph.activations`, or "" for another."""
    return _NAMES.get(id(function), "")


def _said(layer: Any) -> Traits:
    return word_of(layer) or Traits()


def _rows(layer: Any, said: Traits) -> RowsIndependent:
    if said.rows_independent == "by mask" and not call_spec(type(layer)).takes_mask:
        raise ConfigError(
            f"The class {type(layer).__name__} says that a mask leaves rows out, and takes none",
            expected="def call(self, inputs, ..., mask=None)",
            received='rows_independent="by mask" in its traits',
        )
    if said.rows_independent is not None:
        return said.rows_independent
    # Else of a built-in class, or a subclass that leaves it as it is.
    return is_own(speaker(type(layer))) and _keeps_rows_apart(layer)


def _keeps_rows_apart(layer: Any) -> bool:
    """Tells whether rows stay independent in a layer of kgraph's that says nothing of them."""
    function, axis = getattr(layer, "activation", None), getattr(layer, "axis", None)
    known = function is None or comes_from(function, "kgraph", "jax")
    axes = axis if isinstance(axis, (list, tuple)) else (axis,)
    # Counted from the end, -2 is the rows of a matrix; the last axis never is.
    along_rows = any(isinstance(a, int) and (a == 0 or a < -1) for a in axes)
    return known and not along_rows and not getattr(layer, "stateful", False)
