"""Decay with the inverse of time."""

from __future__ import annotations

from typing import Any

from kgraph.optimizers.schedules.schedule import (
    LearningRateSchedule,
    as_float,
    check_positive,
    whole_periods,
)
from kgraph.types import Array


class InverseTimeDecay(LearningRateSchedule):
    """Divides the rate by `1 + decay_rate * step / decay_steps`.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: positive; updates in one period.
        decay_rate: how much the divisor grows in one period.
        staircase: whether the rate stays constant within a period.
        name: a label.

    Raises:
        ConfigError: if `decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        check_positive("InverseTimeDecay", decay_steps=decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps, self.decay_rate = decay_steps, decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: Any) -> Array:
        step = as_float(step)
        whole = whole_periods(step, self.decay_steps)
        periods = whole if self.staircase else step / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * periods)
