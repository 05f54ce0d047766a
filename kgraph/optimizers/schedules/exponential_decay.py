"""Exponential decay."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from kgraph.optimizers.schedules.schedule import (
    LearningRateSchedule,
    as_float,
    check_positive,
    whole_periods,
)
from kgraph.types import Array


class ExponentialDecay(LearningRateSchedule):
    """Multiplies the rate by `decay_rate` every `decay_steps` updates, smoothly.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: positive; updates in one period.
        decay_rate: the factor of one period.
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
        name: str = "ExponentialDecay",
    ) -> None:
        check_positive("ExponentialDecay", decay_steps=decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps, self.decay_rate = decay_steps, decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: Any) -> Array:
        step = as_float(step)
        whole = whole_periods(step, self.decay_steps)
        periods = whole if self.staircase else step / self.decay_steps
        return self.initial_learning_rate * jnp.power(self.decay_rate, periods)
