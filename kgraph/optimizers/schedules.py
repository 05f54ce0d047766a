"""Learning rate schedules: the rate as a function of the number of updates made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from kgraph.checks import check_positive
from kgraph.custom_objects import custom_object_scope
from kgraph.errors import ConfigError
from kgraph.optimizers.state import LARGEST
from kgraph.registry import Recorded, describe, lookup, registered_names
from kgraph.types import Array, ArrayLike, CustomObjects

__all__ = [
    "CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay",
    "LearningRateSchedule", "PiecewiseConstantDecay", "PolynomialDecay", "deserialize", "get",
    "serialize",
]  # fmt: skip


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

    _kgraph_kind: ClassVar[str] = "schedule"

    def __call__(self, step: ArrayLike) -> Array:
        """Returns the learning rate at `step`, an int32 scalar or a number."""
        raise ConfigError(
            f"{type(self).__name__} does not say what the learning rate is",
            expected="a method __call__(self, step)",
        )


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
        check_positive("ExponentialDecay", "decay_steps", decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps, self.decay_rate = decay_steps, decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: ArrayLike) -> Array:
        step = _as_float(step)
        whole = _whole_periods(step, self.decay_steps)
        periods = whole if self.staircase else step / self.decay_steps
        return self.initial_learning_rate * jnp.power(self.decay_rate, periods)


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
        check_positive("InverseTimeDecay", "decay_steps", decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps, self.decay_rate = decay_steps, decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: ArrayLike) -> Array:
        step = _as_float(step)
        whole = _whole_periods(step, self.decay_steps)
        periods = whole if self.staircase else step / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * periods)


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
        check_positive("PolynomialDecay", "decay_steps", decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power, self.cycle = power, cycle
        self.name = name

    def __call__(self, step: ArrayLike) -> Array:
        step = _as_float(step)
        length = jnp.float32(self.decay_steps)
        if self.cycle:
            begun = -_whole_periods(-step, self.decay_steps)
            length = length * jnp.maximum(begun, 1)
        else:
            step = jnp.minimum(step, length)
        # Compiled, 1 - n / n can be a little below zero, and its root NaN.
        left = jnp.maximum(1 - step / length, 0)
        span = self.initial_learning_rate - self.end_learning_rate
        return span * jnp.power(left, self.power) + self.end_learning_rate


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

    def __call__(self, step: ArrayLike) -> Array:
        step = _as_array(step)
        boundaries = np.asarray(self.boundaries)
        if jnp.issubdtype(step.dtype, jnp.integer):  # a boundary beyond is never passed
            boundaries = np.minimum(boundaries, np.iinfo(step.dtype).max)
        passed = step > jnp.asarray(boundaries.astype(step.dtype))
        return jnp.asarray(self.values, jnp.float32)[jnp.sum(passed)]


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
        check_positive("CosineDecay", "decay_steps", decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps, self.alpha = decay_steps, alpha
        self.name = name
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps

    def __call__(self, step: ArrayLike) -> Array:
        step = _as_float(step)
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
        check_positive("CosineDecayRestarts", "first_decay_steps", first_decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self.t_mul, self.m_mul, self.alpha = t_mul, m_mul, alpha
        self.name = name

    def __call__(self, step: ArrayLike) -> Array:
        restarts, done = self._position(_as_float(step))
        height = 0.5 * jnp.power(self.m_mul, restarts)
        fraction = (1 - self.alpha) * height * (1 + jnp.cos(jnp.pi * done)) + self.alpha
        return self.initial_learning_rate * fraction

    def _position(self, step: Array) -> tuple[Array, Array]:
        """Returns the number of restarts so far and the fraction done of the present descent."""
        if self.t_mul == 1:
            restarts = _whole_periods(step, self.first_decay_steps)
            return restarts, step / self.first_decay_steps - restarts
        # n descents take 1 + t + ... + t^(n-1) = (1 - t^n) / (1 - t) first periods: solve for n.
        periods, ratio = step / self.first_decay_steps, jnp.float32(self.t_mul)
        restarts = jnp.floor(jnp.log(1 - periods * (1 - ratio)) / jnp.log(ratio))
        length = jnp.power(ratio, restarts)
        done = (periods - (1 - length) / (1 - ratio)) / length
        # The logarithm may round to just below the whole number that a restart is.
        over = done > 1 - 1e-6
        return restarts + over.astype(jnp.float32), jnp.where(over, 0, done)


def serialize(learning_rate_schedule: LearningRateSchedule) -> dict[str, Any]:
    """Returns a schedule as plain data: `{"kind": "schedule", "class_name": …, "config": …}`."""
    return describe(learning_rate_schedule)


def deserialize(
    config: Mapping[str, object], custom_objects: CustomObjects | None = None
) -> LearningRateSchedule:
    """Returns the schedule that `serialize`, or Keras' function of that name, wrote down."""
    if not {"class_name", "config"} <= set(config):
        raise ConfigError(
            "This does not describe a learning rate schedule",
            expected="a mapping with 'class_name' and 'config'",
            received=repr(dict(config)),
        )
    with custom_object_scope(custom_objects):
        return lookup("schedule", config["class_name"]).from_config(config["config"])


def get(identifier: object) -> LearningRateSchedule:
    """Returns `identifier` if it is a schedule, or the schedule that a config describes."""
    if isinstance(identifier, LearningRateSchedule):
        return identifier
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    raise ConfigError(
        "This is not a learning rate schedule",
        expected=f"a config, or one of {', '.join(registered_names('schedule'))}",
        received=f"{identifier!r} ({type(identifier).__name__})",
        hint="a name alone is not enough: every schedule has options without a default",
    )


def _as_array(step: ArrayLike) -> Array:
    """Returns `step` as an array. A count that int32 cannot hold is its largest, as in training."""
    return jnp.asarray(min(step, LARGEST) if isinstance(step, int) else step)


def _as_float(step: ArrayLike) -> Array:
    """Returns `step` as float32: exact up to 2**24 updates."""
    return _as_array(step).astype(jnp.float32)


def _whole_periods(step: Array, length: float) -> Array:
    """Returns how many whole periods of `length` have passed, exactly.

    Compiled, `floor(step / length)` multiplies by the rounded `1 / length`, so that for lengths
    such as 41 the step that ends a period falls short of it.
    """
    return jnp.floor_divide(step, jnp.float32(length))
