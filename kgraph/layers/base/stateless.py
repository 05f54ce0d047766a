"""`stateless_call`: a layer as a pure function of the values of its variables, as in Keras."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

import jax

from kgraph.errors import StateError
from kgraph.graph.structure import leaves
from kgraph.layers.base import binding
from kgraph.layers.base.calling import numbers_as_array
from kgraph.layers.base.context import Context
from kgraph.layers.base.core import label_of
from kgraph.types import Array

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


Ran: TypeAlias = tuple[Any, Mapping[int, Array], list[Array], Callable[[Any], Array | None]]
"""Outputs, values of the variables (by identity) after a run, losses, and the mask of an output."""
Runner: TypeAlias = Callable[[dict[int, Any], Any, bool, Array | None], Ran]
"""Runs what a layer was lowered to, on values of its variables, inputs, a mode and a key."""

_runners: ContextVar[Mapping[int, Runner] | None] = ContextVar("kgraph_runners", default=None)
_masks: ContextVar[dict[int, tuple[Any, Array]] | None] = ContextVar("kgraph_masks", default=None)
_keys: ContextVar[Callable[[], Array] | None] = ContextVar("kgraph_stateless_keys", default=None)


@contextlib.contextmanager
def run_by(runners: Mapping[int, Runner]) -> Iterator[None]:
    """Lets a `stateless_call` of some layers (by identity) run what they have been lowered to."""
    token, masks = _runners.set(runners), _masks.set({})
    try:
        yield
    finally:
        _runners.reset(token)
        _masks.reset(masks)


def step_mask(array: object) -> Array | None:
    """Returns the mask of what a `stateless_call` of the step that runs has returned, if any."""
    found = (_masks.get() or {}).get(id(array))
    return None if found is None else found[1]


@contextlib.contextmanager
def keys_from(key: Array) -> Iterator[None]:
    """Lets each `stateless_call` within the block that has no key draw from this one."""
    calls = 0

    def next_key() -> Array:
        nonlocal calls
        calls += 1
        return jax.random.fold_in(key, calls)

    token = _keys.set(next_key)
    try:
        yield
    finally:
        _keys.reset(token)


def step_key() -> Array | None:
    """Returns the next key of the step that runs; None outside of a step."""
    source = _keys.get()
    return None if source is None else source()


def stateless_call(
    layer: Layer,
    trainable: Sequence[Any],
    non_trainable: Sequence[Any],
    args: tuple[object, ...],
    kwargs: dict[str, object],
    key: Array | None,
) -> tuple[Any, list[Array], list[Array]]:
    """Returns outputs, new values of the non-trainable variables, and losses."""
    values: dict[int, Any] = {}
    for what, given in (("trainable", trainable), ("non_trainable", non_trainable)):
        own = getattr(layer, f"{what}_variables")
        if len(own) != len(given):
            raise StateError(
                f"These are not the {what}_variables of {label_of(layer)}",
                expected=f"{len(own)} arrays: {', '.join(v.path for v in own)}",
                received=f"{len(given)} arrays",
                hint=None if layer.built else "build the layer first, or call it once",
            )
        values |= {id(v): v.fitting(value) for v, value in zip(own, given)}
    key = step_key() if key is None else key
    args = tuple(numbers_as_array(arg) for arg in args)
    runner = (_runners.get() or {}).get(id(layer))
    if runner is not None and len(args) == 1 and kwargs.keys() <= {"training"}:
        training = bool(kwargs.get("training"))
        outputs, after, losses, mask_of = runner(values, args[0], training, key)
    else:
        context = Context(values, key=key)
        for item in leaves([args, kwargs]):
            context.set_mask(item, step_mask(item))
        outputs = binding.bind(layer, context, layer.name)(*args, **kwargs)
        after, losses = {**context.values, **binding.updates(context)}, context.losses
        mask_of = context.mask_of
    if (kept := _masks.get()) is not None:
        for item in leaves(outputs):
            if (mask := mask_of(item)) is not None:
                kept[id(item)] = item, mask
    penalties = [w.regularizer(values[id(w)]) for w in layer.trainable_variables if w.regularizer]
    state = [after[id(variable)] for variable in layer.non_trainable_variables]
    return outputs, state, [*losses, *penalties]
