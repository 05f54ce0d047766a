"""Binding: a layer is copied with its weights replaced by arrays, and runs on the copy.

So inside `call` a weight *is* an array, state is updated by assignment, and nothing that a run does
(or leaves half done when it raises) can reach the layer itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import jax.numpy as jnp

from kgraph.errors import StateError
from kgraph.graph.structure import is_structure
from kgraph.layers.base.arithmetic import value_of
from kgraph.layers.base.context import Context
from kgraph.layers.base.core import Core
from kgraph.layers.base.handles import is_handle_of
from kgraph.layers.base.speaks import speaks_of_variables
from kgraph.layers.base.variable import Variable
from kgraph.layers.base.weighted import Weighted
from kgraph.types import Array

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer

    pass


class Bindable:
    """Base of what is bound for a run besides layers: generators of keys.

    Attributes:
        _kgraph: says in which run a bound copy is.
    """

    _kgraph: Core
    _kgraph_unbound: ClassVar[frozenset[str]] = Weighted._kgraph_unbound


def bind(layer: Weighted | Bindable, context: Context, segment: str, handles: bool = False) -> Any:
    """Returns the copy of `layer` that runs in `context`; there is one for each run.

    With `handles`, or if its class speaks of variables, its weights can be assigned.
    """
    found = context.bound.get(id(layer))
    if found is not None:
        return found
    copy = object.__new__(type(layer))
    context.bound[id(layer)] = copy
    core = layer._kgraph.bound(layer, context, segment)
    core.handles = handles or speaks_of_variables(type(layer))
    vars(copy).update(vars(layer), _kgraph=core)
    refresh(copy)
    return copy


def refresh(copy: Any) -> None:
    """Takes over what the original has gained since it was bound: what `build` made."""
    origin = copy._kgraph.origin
    for name, value in vars(origin).items():
        if name in origin._kgraph_unbound:
            continue
        known = vars(copy).get(name)
        unset = known is value or known is None  # `self.bias = None` before `build` sets it
        if name not in vars(copy) or (unset and holds_bindable(value)):
            vars(copy)[name] = _replace(value, name, copy, name)


def holds_bindable(value: object) -> bool:
    """Tells whether a value is, or holds, a weight or a layer."""
    if is_structure(value):
        items = value.values() if isinstance(value, dict) else value
        return any(holds_bindable(item) for item in items)
    return isinstance(value, (Variable, Weighted, Bindable))


def _replace(value: Any, path: str, copy: Any, name: str) -> Any:
    context: Context = copy._kgraph.context
    if isinstance(value, Variable):
        array = context.value(value)
        array = cast(array, copy) if value.autocast else array
        if copy._kgraph.handles:
            return context.handle(value, array, copy, name)
        return context.place(value, array)
    if isinstance(value, (Weighted, Bindable)):
        return bind(value, context, path, copy._kgraph.handles)
    if not holds_bindable(value):
        return value

    def inner(item: object, part: Any) -> Any:
        return _replace(item, f"{path}/{part}", copy, name)

    if isinstance(value, dict):
        return {key: inner(item, key) for key, item in value.items()}
    items = [inner(item, i) for i, item in enumerate(value)]
    if hasattr(value, "_fields"):
        return type(value)(*items)
    return type(value)(items)


def with_weights(layer: Weighted, weights: Mapping[str, Variable]) -> Any:
    """Returns a copy of a layer with other weights under some attributes; the rest is shared."""
    copy = object.__new__(type(layer))
    gone = {id(vars(layer).get(name)) for name in weights}
    kept = [weight for weight in layer._kgraph.weights if id(weight) not in gone]
    core = layer._kgraph.with_weights([*kept, *weights.values()])
    vars(copy).update(vars(layer), _kgraph=core, **weights)
    return copy


def cast(array: Array, layer: Layer) -> Array:
    """Returns a weight in the dtype in which its layer computes."""
    wanted = jnp.dtype(layer.compute_dtype)
    floats = jnp.issubdtype(array.dtype, jnp.floating) and jnp.issubdtype(wanted, jnp.floating)
    return array.astype(wanted) if layer.autocast and floats and array.dtype != wanted else array


def updates(context: Context) -> dict[int, Array]:
    """Returns the new array of each weight that a call assigned, by the weight's identity.

    Raises:
        StateError: a trainable weight was set as an attribute; those belong to the optimizer.
    """
    found = {identity: context.values[identity] for identity in context.assigned}
    for copy in context.bound.values():
        for name, value in vars(copy._kgraph.origin).items():
            if name not in copy._kgraph_unbound:
                _compare(value, vars(copy).get(name), copy, found)
    return found


def _compare(old: Any, new: Any, copy: Any, found: dict[int, Array]) -> None:
    if isinstance(old, Variable):
        if new is None or new is old or is_handle_of(new, old):
            return
        if new is copy._kgraph.context.placed.get(id(old), new):
            return
        if old.trainable:
            raise StateError(
                f"{copy.name!r} assigns its trainable weight {old.name!r} in call",
                hint="declare state with add_weight(..., trainable=False)",
            )
        found[id(old)] = jnp.asarray(value_of(new)).astype(old.dtype)
    elif isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        for one, other in zip(old, new):
            _compare(one, other, copy, found)
    elif isinstance(old, dict) and isinstance(new, dict):
        for key, one in old.items():
            _compare(one, new.get(key), copy, found)
