"""Cosine decay that starts again and again."""

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


class CosineDecayRestarts(LearningRateSchedule):
    """Follows half a cosine down, then starts the next one.

    Args:
        initial_learning_rate: the rate at step 0.
        first_decay_steps: positive; updates of the first descent.
        t_mul: how many times longer each descent is than the one before.
        m_mul: how many times higher each descent starts than the one before.
        alpha: the lowest rate as a fraction of the first.
        name: a label.

    Raises:
        ConfigError: if `first_decay_steps` is not positive.

    Source: Loshchilov and Hutter, "SGDR", arXiv:1608.03983, section 3.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        check_positive("CosineDecayRestarts", first_decay_steps=first_decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self.t_mul, self.m_mul, self.alpha = t_mul, m_mul, alpha
        self.name = name

    def __call__(self, step: Any) -> Array:
        restarts, done = self._position(as_float(step))
        height = 0.5 * jnp.power(self.m_mul, restarts)
        fraction = (1 - self.alpha) * height * (1 + jnp.cos(jnp.pi * done)) + self.alpha
        return self.initial_learning_rate * fraction

    def _position(self, step: Array) -> tuple[Array, Array]:
        """Returns the number of restarts so far and the fraction done of the present descent."""
        if self.t_mul == 1:
            restarts = whole_periods(step, self.first_decay_steps)
            return restarts, step / self.first_decay_steps - restarts
        # n descents take 1 + t + ... + t^(n-1) = (1 - t^n) / (1 - t) first periods: solve for n.
        periods, ratio = step / self.first_decay_steps, jnp.float32(self.t_mul)
        restarts = jnp.floor(jnp.log(1 - periods * (1 - ratio)) / jnp.log(ratio))
        length = jnp.power(ratio, restarts)
        done = (periods - (1 - length) / (1 - ratio)) / length
        # The logarithm may round to just below the whole number that a restart is.
        late = done > 1 - 1e-6
        return restarts + late.astype(jnp.float32), jnp.where(late, 0, done)
