"""Penalties on weights or activations: callables from an array to a scalar of the same dtype."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from kgraph import config, registry
from kgraph.errors import ConfigError, DataError, check_choice
from kgraph.registry import Recorded
from kgraph.types import Array, Config, CustomObjects, RegularizerLike

Penalty: TypeAlias = Callable[[Array], Array]
"""What every regularizer is, a `Regularizer` or a plain function: an array to a scalar."""


class Regularizer(Recorded):
    """Base of penalties. A subclass defines `__call__`; its arguments are its config."""

    _kgraph_kind = "regularizer"

    def __call__(self, x: Array) -> Array:
        """Returns the penalty of `x`, a scalar."""
        raise ConfigError(f"{type(self).__name__} does not define __call__(self, x)")


class L1(Regularizer):
    """Penalises the sum of absolute values, times `l1`."""

    def __init__(self, l1: float | None = 0.01) -> None:
        self.l1 = _factor(self, "l1", 0.01 if l1 is None else l1)

    def __call__(self, x: Array) -> Array:
        return self.l1 * jnp.sum(jnp.abs(x))


class L2(Regularizer):
    """Penalises the sum of squares, times `l2` (not halved)."""

    def __init__(self, l2: float | None = 0.01) -> None:
        self.l2 = _factor(self, "l2", 0.01 if l2 is None else l2)

    def __call__(self, x: Array) -> Array:
        return self.l2 * jnp.sum(jnp.square(x))


class L1L2(Regularizer):
    """Penalises `l1` times the sum of absolute values plus `l2` times the sum of squares."""

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1 = _factor(self, "l1", l1 or 0.0)
        self.l2 = _factor(self, "l2", l2 or 0.0)

    def __call__(self, x: Array) -> Array:
        penalty = jnp.zeros((), x.dtype)
        if self.l1:
            penalty += self.l1 * jnp.sum(jnp.abs(x))
        if self.l2:
            penalty += self.l2 * jnp.sum(jnp.square(x))
        return penalty


class OrthogonalRegularizer(Regularizer):
    """Penalises the mean absolute cosine between each two rows (or columns) of a matrix.

    Shapes: `[rows, columns]` in. A matrix with a single vector has no pairs and costs 0.

    Args:
        factor: times which the mean over pairs is taken.
        mode: `"rows"` or `"columns"`: which vectors should be orthogonal.

    Raises:
        ConfigError: if `factor` is negative or not finite, or `mode` is another word.
        DataError: on a call with an array that is not a matrix.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = _factor(self, "factor", factor)
        check_choice("OrthogonalRegularizer", "mode", mode, ("rows", "columns"))
        self.mode = mode

    def __call__(self, inputs: Array) -> Array:
        if inputs.ndim != 2:
            raise DataError(
                "OrthogonalRegularizer penalises matrices only",
                expected="[rows, columns]",
                received=str(list(inputs.shape)),
            )
        vectors = inputs if self.mode == "rows" else inputs.T
        squares = jnp.sum(jnp.square(vectors), axis=1, keepdims=True)
        unit = vectors * jax.lax.rsqrt(jnp.maximum(squares, config.epsilon() ** 2))
        count = vectors.shape[0]
        cosines = (unit @ unit.T) * (1 - jnp.eye(count, dtype=inputs.dtype))
        pairs = max(count * (count - 1) / 2, 1)
        return self.factor * 0.5 * jnp.sum(jnp.abs(cosines)) / pairs


def _factor(owner: Regularizer, option: str, value: object) -> float:
    if not isinstance(value, numbers.Real) or not math.isfinite(value) or value < 0:
        raise ConfigError(
            f"{type(owner).__name__} cannot use this value of `{option}`",
            expected="a finite number of at least 0",
            received=repr(value),
        )
    return float(value)


l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer
for _alias in ("l1_l2", "l1l2"):  # the documented string and the one Keras derives from the class
    registry.register("regularizer", _alias, L1L2)


def get(
    identifier: RegularizerLike | None,
) -> Penalty | None:
    """Returns the regularizer that an option stands for.

    >>> get("l2").l2
    0.01

    Args:
        identifier: a name, a config, a class, a callable (returned as it is), or None.

    Raises:
        ConfigError: if the name is not known or the value is none of these.
    """
    return registry.resolve("regularizer", identifier)


def serialize(regularizer: Penalty) -> dict[str, Any]:
    """Returns the config of a regularizer: JSON types that `deserialize` reads."""
    return registry.serialize("regularizer", regularizer)


def deserialize(config: str | Config, custom_objects: CustomObjects | None = None) -> Penalty:
    """Returns the regularizer that `serialize` wrote down."""
    return registry.deserialize("regularizer", config, custom_objects)
