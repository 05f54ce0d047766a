"""Constraints on weights: callables that map a weight to its nearest admissible value.

They are applied after each optimizer step and keep shape and dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax.numpy as jnp

from kgraph import config, registry
from kgraph.errors import ConfigError
from kgraph.registry import Recorded
from kgraph.types import Array, Config, ConstraintLike, CustomObjects

Projection: TypeAlias = Callable[[Array], Array]
"""What every constraint is, a `Constraint` or a plain function: a weight to a weight."""

Axes: TypeAlias = int | Sequence[int]
"""The axes over which norms are taken: 0 for Dense kernels, [0, 1, 2] for those of Conv2D."""


class Constraint(Recorded):
    """Base of constraints: leaves weights alone. A subclass defines `__call__`."""

    _kgraph_kind = "constraint"

    def __call__(self, w: Array) -> Array:
        """Returns the admissible weight that takes the place of `w`."""
        return w


class NonNeg(Constraint):
    """Replaces negative weights by 0."""

    def __call__(self, w: Array) -> Array:
        return jnp.maximum(w, 0)


class MaxNorm(Constraint):
    """Shortens vectors that are longer than `max_value` to that length.

    Args:
        max_value: the largest Euclidean norm.
        axis: the axis or axes that a norm is taken over.

    Raises:
        ConfigError: if `max_value` is negative.
    """

    def __init__(self, max_value: float = 2, axis: Axes = 0) -> None:
        _check_range(self, 0, max_value)
        self.max_value, self.axis = max_value, axis

    def __call__(self, w: Array) -> Array:
        norms = _norms(w, self.axis)
        return w * (jnp.minimum(norms, self.max_value) / (config.epsilon() + norms))


class MinMaxNorm(Constraint):
    """Moves the length of vectors towards the range from `min_value` to `max_value`.

    Args:
        min_value: the smallest Euclidean norm.
        max_value: the largest.
        rate: the part of the way that one call moves a norm; 1 goes all the way.
        axis: the axis or axes that a norm is taken over.

    Raises:
        ConfigError: unless 0 <= `min_value` <= `max_value` and 0 <= `rate` <= 1.
    """

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Axes = 0
    ) -> None:
        _check_range(self, min_value, max_value)
        if not 0 <= rate <= 1:
            raise ConfigError("MinMaxNorm needs a rate from 0 to 1", received=repr(rate))
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def __call__(self, w: Array) -> Array:
        norms = _norms(w, self.axis)
        nearest = jnp.clip(norms, self.min_value, self.max_value)
        wanted = self.rate * nearest + (1 - self.rate) * norms
        return w * (wanted / (config.epsilon() + norms))


class UnitNorm(Constraint):
    """Scales vectors to length 1.

    Args:
        axis: the axis or axes that a norm is taken over.
    """

    def __init__(self, axis: Axes = 0) -> None:
        self.axis = axis

    def __call__(self, w: Array) -> Array:
        return w / (config.epsilon() + _norms(w, self.axis))


def _norms(w: Array, axis: Axes) -> Array:
    axes = axis if isinstance(axis, int) else tuple(axis)
    return jnp.sqrt(jnp.sum(jnp.square(w), axes, keepdims=True))


def _check_range(owner: Constraint, low: float, high: float) -> None:
    if not 0 <= low <= high:
        raise ConfigError(
            f"{type(owner).__name__} needs a range of norms",
            expected="0 <= min_value <= max_value",
            received=f"min_value {low!r}, max_value {high!r}",
        )


max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm


def get(
    identifier: ConstraintLike | None,
) -> Projection | None:
    """Returns the constraint that an option stands for.

    >>> get("max_norm").max_value
    2

    Args:
        identifier: a name, a config, a class, a callable (returned as it is), or None.

    Raises:
        ConfigError: if the name is not known or the value is none of these.
    """
    return registry.resolve("constraint", identifier)


def serialize(constraint: Projection) -> dict[str, Any]:
    """Returns the config of a constraint: JSON types that `deserialize` reads."""
    return registry.serialize("constraint", constraint)


def deserialize(config: str | Config, custom_objects: CustomObjects | None = None) -> Projection:
    """Returns the constraint that `serialize` wrote down."""
    return registry.deserialize("constraint", config, custom_objects)
