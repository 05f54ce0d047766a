"""Strengths of random changes: a number or a range, and draws from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from kgraph.checks import is_number
from kgraph.errors import ConfigError
from kgraph.types import Array

Factor: TypeAlias = float | Sequence[float]
"""A strength, or the ends of a range of them."""

Range = tuple[float, float]
"""Lower and upper end of a uniform distribution."""


def factor_range(
    owner: str, option: str, value: object, lowest: float = -1.0, highest: float = 1.0
) -> Range:
    """Returns the range that an option stands for.

    Args:
        value: a number `f` stands for `-f` to `f`, cut off at `lowest`; a pair for itself, sorted.
        lowest, highest: the numbers allowed, both included.

    Raises:
        ConfigError: it is neither, or outside of the numbers allowed.
    """
    is_pair = isinstance(value, (list, tuple))
    numbers: tuple[Any, ...] = tuple(value) if is_pair else (value,)
    allowed = all(is_number(number) and lowest <= number <= highest for number in numbers)
    if not allowed or len(numbers) != (2 if is_pair else 1):
        raise ConfigError(
            f"{owner} cannot have this value of `{option}`",
            expected=f"a number, or a pair of numbers, from {lowest:g} to {highest:g}",
            received=repr(value),
        )
    low, high = float(min(numbers)), float(max(numbers))
    return (low, high) if is_pair else (max(-abs(high), float(lowest)), abs(high))


def uniform(key: Array, between: Range) -> Array:
    """Returns one float32 number drawn evenly from a range; the range may be a single number."""
    return jax.random.uniform(key, (), jnp.float32, between[0], between[1])


def chance(key: Array, probability: Range) -> Array:
    """Returns whether to do something whose probability is itself drawn from a range."""
    first, second = jax.random.split(key)
    return uniform(first, (0.0, 1.0)) < uniform(second, probability)
