"""Cosine decay, with an optional linear warm-up."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from kgraph.optimizers.schedules.schedule import LearningRateSchedule, as_float, check_positive
from kgraph.types import Array


class CosineDecay(LearningRateSchedule):
    """Follows half a cosine down to `alpha` times the rate, then stays.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: positive; updates of the descent, warm-up not counted.
        alpha: the final rate as a fraction of the highest.
        name: a label.
        warmup_target: the rate the descent starts from, which a straight line from
            `initial_learning_rate` reaches first. None: there is no warm-up.
        warmup_steps: updates of the warm-up. Without a target it has no effect.

    Raises:
        ConfigError: if `decay_steps` is not positive.

    Source: Loshchilov and Hutter, "SGDR", arXiv:1608.03983, without restarts.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        check_positive("CosineDecay", decay_steps=decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps, self.alpha = decay_steps, alpha
        self.name = name
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps

    def __call__(self, step: Any) -> Array:
        step = as_float(step)
        start = self.initial_learning_rate
        if self.warmup_target is None:
            return start * self._fraction(step)
        decayed = self.warmup_target * self._fraction(step - self.warmup_steps)
        if not self.warmup_steps:
            return decayed
        warming = (self.warmup_target - start) * (step / self.warmup_steps) + start
        return jnp.where(step < self.warmup_steps, warming, decayed)

    def _fraction(self, step: Array) -> Array:
        done = jnp.minimum(step, self.decay_steps) / self.decay_steps
        return (1 - self.alpha) * 0.5 * (1 + jnp.cos(jnp.pi * done)) + self.alpha
