"""The base of learning rate schedules."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp

from kgraph.errors import ConfigError
from kgraph.registry import Recorded
from kgraph.types import Array


class LearningRateSchedule(Recorded):
    """A learning rate as a function of the number of updates made so far (0 at the first).

    A subclass of the user's own writes `__call__(self, step)` with operations JAX can trace; its
    constructor arguments are its config.

    >>> class Halving(LearningRateSchedule):
    ...     def __init__(self, start):
    ...         self.start = start
    ...
    ...     def __call__(self, step):
    ...         return self.start * 0.5**step
    >>> Halving(1.0)(2), Halving(1.0).get_config()
    (0.25, {'start': 1.0})
    """

    kind: ClassVar[str] = "schedule"

    def __call__(self, step: Any) -> Array:
        """Returns the learning rate at `step`, an int32 scalar or a number."""
        raise ConfigError(
            f"{type(self).__name__} does not say what the learning rate is",
            expected="a method __call__(self, step)",
        )

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in self.recorded_arguments().items())
        return f"{type(self).__name__}({options})"


def as_float(step: Any) -> Array:
    """Returns `step` as float32: exact up to 2**24 updates."""
    return jnp.asarray(step).astype(jnp.float32)


def whole_periods(step: Array, length: float) -> Array:
    """Returns how many whole periods of `length` have passed, exactly.

    Compiled, `floor(step / length)` multiplies by the rounded `1 / length`, so that for lengths
    such as 41 the step that ends a period falls short of it.
    """
    return jnp.floor_divide(step, jnp.float32(length))


def check_positive(owner: str, **options: float) -> None:
    """Raises ConfigError if one of the options is not above zero."""
    for name, value in options.items():
        if not value > 0:
            raise ConfigError(f"{owner} needs a positive `{name}`", received=repr(value))
