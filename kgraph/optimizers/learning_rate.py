"""The `learning_rate` option: a number, a schedule, or a function."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from kgraph.errors import ConfigError
from kgraph.optimizers.schedules import LearningRateSchedule, deserialize
from kgraph.types import AnyArray

LearningRate: TypeAlias = float | LearningRateSchedule | Callable[..., "float | AnyArray"]
"""A number, a schedule, a function of the step (optax schedules), or a function of nothing."""


class LearningRateError(ConfigError, TypeError):
    """The learning rate cannot be set. (Also a TypeError, which is what Keras raises here.)"""


def as_learning_rate(owner: str, value: Any) -> LearningRate:
    """Returns `value` as a float, a schedule or a function, or raises ConfigError."""
    if isinstance(value, Mapping):
        return deserialize(value)
    if callable(value) and not inspect.isclass(value):
        function: Any = value
        return function
    number = math.nan if isinstance(value, (bool, str)) else _as_float(value)
    if not math.isfinite(number):
        raise ConfigError(
            f"{owner} cannot use this learning rate",
            expected="a number, a LearningRateSchedule, or a function without arguments",
            received=f"{value!r} ({type(value).__name__})",
        )
    return number


def is_schedule(learning_rate: LearningRate) -> bool:
    """Tells whether the rate is a function of the step, so that nobody can set it."""
    if isinstance(learning_rate, LearningRateSchedule):
        return True
    return callable(learning_rate) and _needs_argument(learning_rate)


def _needs_argument(function: Callable[..., Any]) -> bool:
    parameters = inspect.signature(function).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(p.kind in positional and p.default is p.empty for p in parameters)


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
