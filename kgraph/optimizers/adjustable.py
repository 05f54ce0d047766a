"""The learning rate as the host sees it: read, set, and carried into a running state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from kgraph.extra import extra
from kgraph.optimizers.learning_rate import (
    LearningRateError,
    as_learning_rate,
    is_schedule,
)
from kgraph.optimizers.on_variables import OnVariables
from kgraph.optimizers.state import OptimizerState
from kgraph.types import Array


class _Adjustable(OnVariables):
    """The part of an optimizer that holds its learning rate.

    The rate that counts is in the state. A number set here waits until `sync_learning_rate` writes
    it there, so setting one touches no device and compiles nothing.
    """

    def _kgraph_steps(self) -> int:
        return int(self._kgraph_hand().iterations) if self.built else int(self._kgraph.steps())

    @property
    def learning_rate(self) -> Any:
        """The rate as a number with `assign`, `value` and `numpy`; of a schedule, its present one.

        Setting it takes effect when the training loop next calls `sync_learning_rate`. A schedule
        cannot be replaced, nor become one: LearningRateError.
        """
        held = self._kgraph_held_rate()
        if held is not None and isinstance(held.value, Tracer):
            return held.value
        return Rate(self)

    @extra
    def schedule(self) -> Any:
        """The schedule that the rate follows, or None for a rate that can be set."""
        return self._kgraph_schedule

    @property
    def _kgraph_schedule(self) -> Any:
        """The schedule that the rate follows, or None for a rate that can be set."""
        return self._kgraph.rate if is_schedule(self._kgraph.rate) else None

    def _kgraph_watch(self, steps: Callable[[], int]) -> None:
        """Is told how to find out the number of updates that a training has made."""
        self._kgraph.steps = steps

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        owner = type(self).__name__
        if is_schedule(self._kgraph.rate):
            raise LearningRateError(
                f"The learning rate of {owner} follows a schedule and cannot be set",
                received=f"{value!r} over {self._kgraph.rate!r}",
                hint=f"make {owner} with a number as learning_rate",
            )
        rate = as_learning_rate(owner, value)
        if callable(rate):
            raise LearningRateError(
                f"The learning rate of {owner} can be set to a number only",
                received=repr(value),
                hint=f"make a new {owner} with this learning_rate and compile again",
            )
        self._kgraph.rate = self._kgraph.unsynced = rate
        if (held := self._kgraph_held_rate()) is not None:
            held.assign(rate)

    @property
    def _kgraph_host_rate(self) -> float | None:
        """The rate as a number that was given or set; None for what is not one such number."""
        return None if callable(self._kgraph.rate) else self._kgraph.rate

    def current_learning_rate(self, state: OptimizerState) -> Array:
        """Returns the rate of the next update, a float32 scalar."""
        return self._kgraph_current_rate(state)

    def _kgraph_current_rate(self, state: OptimizerState) -> Array:
        if is_schedule(self._kgraph.rate):
            return jnp.asarray(self._kgraph.rate(state.step), jnp.float32)  # pyright: ignore
        return jnp.asarray(state.learning_rate)

    def sync_learning_rate(self, state: OptimizerState) -> OptimizerState:
        """Returns `state` with the rate that was set last, or `state` itself if nothing changed.

        For the training loop, between steps. The new leaf has the sharding of the old one, so a
        compiled step is used as it is.
        """
        return self._kgraph_sync_rate(state)

    def _kgraph_sync_rate(self, state: OptimizerState) -> OptimizerState:
        if callable(self._kgraph.rate) and not is_schedule(self._kgraph.rate):
            asked = self._kgraph_number()
            if asked != self._kgraph.last_asked:
                self._kgraph.last_asked = self._kgraph.unsynced = asked
        if self._kgraph.unsynced is None:
            return state
        rate, self._kgraph.unsynced = self._kgraph.unsynced, None
        return self._kgraph_with_rate(state, rate)

    def _kgraph_adopt_rate(self, state: OptimizerState) -> None:
        """Takes the rate of `state` as this object's own, after reading a checkpoint, say."""
        if not callable(self._kgraph.rate):
            stored, self._kgraph.unsynced = np.asarray(self._kgraph_current_rate(state)), None
            if stored != stored.dtype.type(self._kgraph.rate):  # ours may have more digits
                self._kgraph.rate = float(stored)

    def _kgraph_number(self) -> float:
        if (held := self._kgraph_held_rate()) is not None:
            return float(held.value)
        rate = self._kgraph.rate
        return float(rate()) if callable(rate) else rate  # pyright: ignore[reportCallIssue]

    def _kgraph_with_rate(self, state: OptimizerState, value: float) -> OptimizerState:
        old = jnp.asarray(state.learning_rate)
        sharding = old.sharding if getattr(old, "committed", True) else None
        # Not `jnp.full_like`, for which jax 0.7 compiles a conversion.
        return state._replace(
            learning_rate=jax.device_put(np.full(old.shape, value, old.dtype), sharding)
        )


class Rate(float):
    """A learning rate as a number, which can be set where it was read: `assign`, as in Keras."""

    shape, ndim, dtype = (), 0, "float32"  # what tells callbacks of others that it is a variable
    _optimizer: _Adjustable

    def __new__(cls, optimizer: _Adjustable) -> Self:
        schedule = optimizer._kgraph_schedule
        known = schedule is None
        number = optimizer._kgraph_number() if known else schedule(optimizer._kgraph_steps())
        rate = super().__new__(cls, number)
        rate._optimizer = optimizer
        return rate

    @property
    def value(self) -> Array:
        """The rate as an array."""
        return jnp.float32(self)

    def __reduce__(self) -> tuple[type, tuple[float]]:
        return float, (float(self),)

    def numpy(self) -> np.ndarray:
        """Returns the rate as an array on the host."""
        return np.array(self, np.float32)

    def assign(self, value: Any) -> Array:
        """Sets the rate of the optimizer; returns it."""
        self._optimizer.learning_rate = value
        return jnp.float32(value)
