"""Polynomial decay to a final rate."""

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


class PolynomialDecay(LearningRateSchedule):
    """Goes from one rate to another along `(1 - step / decay_steps) ** power`, then stays.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: positive; updates until the end.
        end_learning_rate: the rate at the end.
        power: the exponent; 1 is a straight line.
        cycle: whether, instead of staying at the end, the descent starts again lower: from step
            `n * decay_steps` on it is stretched over `(n + 1) * decay_steps`.
        name: a label.

    Raises:
        ConfigError: if `decay_steps` is not positive.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        check_positive("PolynomialDecay", decay_steps=decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power, self.cycle = power, cycle
        self.name = name

    def __call__(self, step: Any) -> Array:
        step = as_float(step)
        length = jnp.float32(self.decay_steps)
        if self.cycle:
            begun = -whole_periods(-step, self.decay_steps)
            length = length * jnp.maximum(begun, 1)
        else:
            step = jnp.minimum(step, length)
        # Compiled, 1 - n / n can be a little below zero, and its root NaN.
        left = jnp.maximum(1 - step / length, 0)
        span = self.initial_learning_rate - self.end_learning_rate
        return span * jnp.power(left, self.power) + self.end_learning_rate
