"""A rate that is constant between given steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jax.numpy as jnp

from kgraph.errors import ConfigError
from kgraph.optimizers.schedules.schedule import LearningRateSchedule
from kgraph.types import Array


class PiecewiseConstantDecay(LearningRateSchedule):
    """Is `values[i]` up to and with step `boundaries[i]`, and the last value after that.

    Args:
        boundaries: increasing step numbers. (optax's schedule switches one step earlier.)
        values: one more than boundaries.
        name: a label.

    Raises:
        ConfigError: if the lengths do not fit or the boundaries do not increase.
    """

    def __init__(
        self,
        boundaries: Sequence[float],
        values: Sequence[float],
        name: str = "PiecewiseConstant",
    ) -> None:
        if len(values) != len(boundaries) + 1:
            raise ConfigError(
                "PiecewiseConstantDecay needs one more value than boundaries",
                received=f"{len(boundaries)} boundaries and {len(values)} values",
            )
        if any(after <= before for before, after in pairwise(boundaries)):
            raise ConfigError(
                "PiecewiseConstantDecay needs boundaries that increase",
                received=repr(list(boundaries)),
            )
        self.boundaries, self.values = list(boundaries), list(values)
        self.name = name

    def __call__(self, step: Any) -> Array:
        step = jnp.asarray(step)
        passed = step > jnp.asarray(self.boundaries).astype(step.dtype)
        return jnp.asarray(self.values, jnp.float32)[jnp.sum(passed)]
