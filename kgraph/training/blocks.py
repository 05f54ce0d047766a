"""Several steps for one dispatch: pure functions that take their batches from arrays on the device.

One executable serves blocks of every size, since the bounds of the loop are arguments: so results
cannot depend on the size, and a change of it compiles nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from kgraph.training.state import TrainState
from kgraph.training.step import Batch, Given, Step
from kgraph.types import Array

Spread: TypeAlias = Callable[[Batch, Any], tuple[Batch, Any]]
"""Spreads a batch, and which of its rows count, over several devices."""
Found: TypeAlias = tuple[Any, Any]
"""What an evaluation has so far: metrics, and the state of the layers; None if it stays."""


@dataclass(frozen=True)
class Cut:
    """How the rows of arrays are cut into batches.

    Fields:
        size: rows of a batch.
        padded: whether the last batch has rows that do not count.
        looped: whether steps run in a loop on the device; else a block is one step.
    """

    size: int
    padded: bool
    looped: bool


def on_one_device(batch: Batch, kept: Any) -> tuple[Batch, Any]:
    """Leaves a batch as it is."""
    return batch, kept


def train_blocks(
    step: Step, cut: Cut, spread: Spread = on_one_device
) -> Callable[..., tuple[TrainState, Array]]:
    """Returns `block(state, rows, order, count, start, stop)`: steps `start` to `stop` of an epoch.

    `rows` is a Batch of all rows, `order` the row numbers of the batches in a row (filled up to
    whole batches), `count` how many of them count. Returns the state, and its step as an array of
    its own, to wait for: the state itself may be given away before somebody looks at it.
    """

    def one(i: Array, state: TrainState, rows: Batch, order: Array, count: Array) -> TrainState:
        numbers = jax.lax.dynamic_slice_in_dim(order, i * cut.size, cut.size)
        batch = jax.tree.map(lambda a: a.at[numbers].get(mode="promise_in_bounds"), rows)
        places = i * cut.size + jnp.arange(cut.size, dtype=jnp.int32)
        return step(state, *spread(batch, places < count if cut.padded else None))

    def block(
        state: TrainState, rows: Batch, order: Array, count: Array, start: Array, stop: Array
    ) -> tuple[TrainState, Array]:
        state = _steps(
            lambda i, state: one(i, state, rows, order, count), state, start, stop, cut.looped
        )
        return state, state.step

    return block


def test_blocks(
    step: Step,
    cut: Cut,
    spread: Spread = on_one_device,  # noqa: PT028 - no test
) -> Callable[..., Any]:
    """Returns `block(variables, found, rows, start, stop)`: what batches in order lead to.

    The last batch, if it is smaller, begins earlier and leaves out what the one before has had: all
    batches are slices of real rows.
    """

    def block(variables: TrainState, found: Found, rows: Batch, start: Array, stop: Array) -> Found:
        def one(i: Array, found: Found) -> Found:
            batch, kept = spread(*_slice(rows, i, cut))
            return after_batch(step, variables, found, batch, kept, i)

        return _steps(one, found, start, stop, cut.looped)

    return block


def after_batch(
    step: Step, variables: TrainState, found: Found, batch: Batch, kept: Any, number: Array
) -> Found:
    """Returns what a batch of an evaluation leads to: see `Found`."""
    metrics, state = found
    given = replace(variables, metrics=metrics, step=number)
    after = step(given if state is None else replace(given, state=state), batch, kept)
    return after.metrics, None if state is None else after.state


def predict_blocks(
    predict: Callable[..., list[Array]], cut: Cut, spread: Spread = on_one_device
) -> Callable[..., tuple[list[Array], Array]]:
    """Returns `block(given, found, rows, base, start, stop)`, which fills in predictions.

    `found` has room for some rows of each output, beginning with row `base`. Returns it, and an
    array of its own to wait for.
    """

    def block(
        given: Given, found: list[Array], rows: Batch, base: Array, start: Array, stop: Array
    ) -> tuple[list[Array], Array]:
        def one(i: Array, found: list[Array]) -> list[Array]:
            batch, _ = spread(*_slice(rows, i, cut))
            outputs = predict(given, batch.inputs, i)
            if batch.rows != cut.size:
                outputs = [output[: cut.size] for output in outputs]
            place = _low(rows, i, cut) - base
            return [
                jax.lax.dynamic_update_slice_in_dim(room, output.astype(room.dtype), place, 0)
                for room, output in zip(found, outputs)
            ]

        return _steps(one, found, start, stop, cut.looped), jnp.asarray(stop) + 0

    return block


def _steps(
    one: Callable[[Array, Any], Any], carry: Any, start: Array, stop: Array, looped: bool
) -> Any:
    return jax.lax.fori_loop(start, stop, one, carry) if looped else one(start, carry)


def _slice(rows: Batch, i: Array, cut: Cut) -> tuple[Batch, Array | None]:
    """Returns batch i, and which of its rows were in no batch before it."""
    low = _low(rows, i, cut)
    batch = jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, low, cut.size), rows)
    if not cut.padded:
        return batch, None
    return batch, low + jnp.arange(cut.size, dtype=jnp.int32) >= i * cut.size


def _low(rows: Batch, i: Array, cut: Cut) -> Array:
    low = i * cut.size
    return jnp.minimum(low, rows.rows - cut.size) if cut.padded else low
