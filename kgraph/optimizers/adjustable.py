"""The learning rate as the host sees it: read, set, and carried into a running state."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.optimizers.learning_rate import (
    LearningRate,
    LearningRateError,
    as_learning_rate,
    is_schedule,
)
from kgraph.optimizers.state import OptimizerState
from kgraph.registry import Recorded
from kgraph.types import Array


class _Adjustable(Recorded):
    """The part of an optimizer that holds its learning rate.

    The rate that counts is in the state. A number set here waits until `sync_learning_rate` writes
    it there, so setting one touches no device and compiles nothing.
    """

    def _hold_learning_rate(self, learning_rate: LearningRate) -> None:
        self._learning_rate = as_learning_rate(type(self).__name__, learning_rate)
        self._unsynced: float | None = None
        self._last_asked: float | None = None

    @property
    def learning_rate(self) -> Any:
        """The rate as a float, or the schedule. `current_learning_rate(state)` is always a number.

        Setting it takes effect when the training loop next calls `sync_learning_rate`. A schedule
        cannot be replaced, nor become one: LearningRateError.
        """
        return self._learning_rate if is_schedule(self._learning_rate) else self._number()

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        owner = type(self).__name__
        if is_schedule(self._learning_rate):
            raise LearningRateError(
                f"The learning rate of {owner} follows a schedule and cannot be set",
                received=f"{value!r} over {self._learning_rate!r}",
                hint=f"make {owner} with a number as learning_rate",
            )
        rate = as_learning_rate(owner, value)
        if callable(rate):
            raise LearningRateError(
                f"The learning rate of {owner} can be set to a number only",
                received=repr(value),
                hint=f"make a new {owner} with this learning_rate and compile again",
            )
        self._learning_rate = self._unsynced = rate

    @property
    def host_rate(self) -> float | None:
        """The rate as a number that was given or set; None for what is not one such number."""
        return None if callable(self._learning_rate) else self._learning_rate

    def current_learning_rate(self, state: OptimizerState) -> Array:
        """Returns the rate of the next update, a float32 scalar."""
        if is_schedule(self._learning_rate):
            return jnp.asarray(self._learning_rate(state.step), jnp.float32)  # pyright: ignore
        return jnp.asarray(state.learning_rate)

    def sync_learning_rate(self, state: OptimizerState) -> OptimizerState:
        """Returns `state` with the rate that was set last, or `state` itself if nothing changed.

        For the training loop, between steps. The new leaf has the sharding of the old one, so a
        compiled step is used as it is.
        """
        if callable(self._learning_rate) and not is_schedule(self._learning_rate):
            asked = self._number()
            if asked != self._last_asked:
                self._last_asked = self._unsynced = asked
        if self._unsynced is None:
            return state
        rate, self._unsynced = self._unsynced, None
        return self._with_learning_rate(state, rate)

    def adopt_learning_rate(self, state: OptimizerState) -> None:
        """Takes the rate of `state` as this object's own, after reading a checkpoint, say."""
        if not callable(self._learning_rate):
            stored, self._unsynced = np.asarray(self.current_learning_rate(state)), None
            if stored != stored.dtype.type(self._learning_rate):  # ours may have more digits
                self._learning_rate = float(stored)

    def _number(self) -> float:
        rate = self._learning_rate
        return float(rate()) if callable(rate) else rate  # pyright: ignore[reportCallIssue]

    def _with_learning_rate(self, state: OptimizerState, value: float) -> OptimizerState:
        old = jnp.asarray(state.learning_rate)
        sharding = old.sharding if getattr(old, "committed", True) else None
        # Not `jnp.full_like`, for which jax 0.7 compiles a conversion.
        return state._replace(
            learning_rate=jax.device_put(np.full(old.shape, value, old.dtype), sharding)
        )
