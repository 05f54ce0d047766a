"""Binding: a layer is copied with its weights replaced by arrays, and runs on the copy.

So inside `call` a weight *is* an array, state is updated by assignment, and nothing that a run does
(or leaves half done when it raises) can reach the layer itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import jax.numpy as jnp

from kgraph.errors import StateError
from kgraph.graph.structure import is_structure
from kgraph.layers.base.context import Context
from kgraph.layers.base.variable import Variable
from kgraph.types import Array

INTERNAL = frozenset(
    {
        "_arguments",
        "_weights",
        "_context",
        "_origin",
        "_segment",
        "_lowering",
        "_first_call",
        "_own_losses",
    }
)
"""Attributes of the base class that hold no weights or layers of the user's."""

_PLAIN = frozenset({type(None), bool, int, float, str})
"""What most attributes are: a search through all layers of a graph passes these by."""


class Bindable:
    """Base of what is copied and bound for a run: the layers.

    Attributes:
        _context: the run of a bound copy; None on the layer itself.
        _origin: the layer that a copy was made from.
        _segment: what a copy adds to the path of its run.
        _lowering: how a pass has decided that a copy computes; "" for the usual way.
        path_free_attributes: containers whose attribute name is left out of paths.
        unbound_attributes: what is no part of the layer: copies keep it, and nothing looks inside.
    """

    path_free_attributes: ClassVar[frozenset[str]] = frozenset()
    unbound_attributes: ClassVar[frozenset[str]] = INTERNAL
    _context: Context | None = None
    _origin: Any = None
    _segment: str = ""
    _lowering: str = ""


def members(layer: Any, kind: type) -> Iterator[tuple[str, Any]]:
    """Yields the path and the object for each `kind` found in a layer's attributes.

    Lists, tuples and dicts are searched; the path of an item is `attribute/0` or `attribute/key`.
    """
    found: list[tuple[str, Any]] = []
    unbound, skip = layer.unbound_attributes, layer.path_free_attributes
    for name, value in vars(layer).items():
        if type(value) not in _PLAIN and name not in unbound:
            _search(value, "" if name in skip else name, kind, found)
    return iter(found)


def _search(value: Any, path: str, kind: type, found: list[tuple[str, Any]]) -> None:
    if isinstance(value, kind):
        found.append((path, value))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _search(item, f"{path}/{i}" if path else str(i), kind, found)
    elif isinstance(value, dict):
        for key, item in value.items():
            _search(item, f"{path}/{key}" if path else str(key), kind, found)


def bind(layer: Any, context: Context, segment: str) -> Any:
    """Returns the copy of `layer` that runs in `context`; there is one for each run."""
    found = context.bound.get(id(layer))
    if found is not None:
        return found
    copy = object.__new__(type(layer))
    context.bound[id(layer)] = copy
    vars(copy).update(vars(layer))
    vars(copy).update(_context=context, _origin=layer, _segment=segment)
    refresh(copy)
    return copy


def refresh(copy: Any) -> None:
    """Takes over what the original has gained since it was bound: what `build` made."""
    origin, context = copy._origin, copy._context
    skip = origin.path_free_attributes
    for name, value in vars(origin).items():
        if name in origin.unbound_attributes:
            continue
        known = vars(copy).get(name)
        unset = known is value or known is None  # `self.bias = None` before `build` sets it
        if name not in vars(copy) or (unset and holds_bindable(value)):
            path = "" if name in skip else name
            vars(copy)[name] = _replace(value, path, origin, context)


def holds_bindable(value: Any) -> bool:
    """Tells whether a value is, or holds, a weight or a layer."""
    if is_structure(value):
        items = value.values() if isinstance(value, dict) else value
        return any(holds_bindable(item) for item in items)
    return isinstance(value, (Variable, Bindable))


def _replace(value: Any, path: str, owner: Any, context: Context) -> Any:
    if isinstance(value, Variable):
        return context.place(value, cast(context.value(value), owner))
    if isinstance(value, Bindable):
        return bind(value, context, path)
    if not holds_bindable(value):
        return value

    def inner(item: Any, part: Any) -> Any:
        return _replace(item, f"{path}/{part}" if path else str(part), owner, context)

    if isinstance(value, dict):
        return {key: inner(item, key) for key, item in value.items()}
    items = [inner(item, i) for i, item in enumerate(value)]
    if hasattr(value, "_fields"):
        return type(value)(*items)
    return type(value)(items)


def with_weights(layer: Any, weights: Mapping[str, Variable]) -> Any:
    """Returns a copy of a layer with other weights under some attributes; the rest is shared."""
    copy = object.__new__(type(layer))
    gone = {id(vars(layer).get(name)) for name in weights}
    kept = [weight for weight in layer._weights if id(weight) not in gone]
    vars(copy).update(vars(layer), _weights=[*kept, *weights.values()])
    vars(copy).update(weights)
    return copy


def cast(array: Array, layer: Any) -> Array:
    """Returns a weight in the dtype in which its layer computes."""
    wanted = layer.compute_dtype
    if layer.autocast and array.dtype != wanted and jnp.issubdtype(array.dtype, jnp.floating):
        return array.astype(wanted)
    return array


def updates(context: Context) -> dict[int, Array]:
    """Returns the new array of each weight that a call assigned, by the weight's identity.

    Raises:
        StateError: a trainable weight was assigned; those belong to the optimizer.
    """
    found: dict[int, Array] = {}
    for copy in context.bound.values():
        for name, value in vars(copy._origin).items():
            if name not in copy.unbound_attributes:
                _compare(value, vars(copy).get(name), copy, found)
    return found


def _compare(old: Any, new: Any, copy: Any, found: dict[int, Array]) -> None:
    if isinstance(old, Variable):
        if new is None or new is copy._context.placed.get(id(old), new):
            return
        if old.trainable:
            raise StateError(
                f"{copy.name!r} assigns its trainable weight {old.name!r} in call",
                hint="declare state with add_weight(..., trainable=False)",
            )
        found[id(old)] = jnp.asarray(new).astype(old.dtype)
    elif isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        for one, other in zip(old, new):
            _compare(one, other, copy, found)
    elif isinstance(old, dict) and isinstance(new, dict):
        for key, one in old.items():
            _compare(one, new.get(key), copy, found)
