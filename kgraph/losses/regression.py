"""Losses of numbers: squared, absolute, relative and logarithmic errors, and cosine similarity."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kgraph import config
from kgraph.losses.alignment import paired
from kgraph.losses.base import Loss
from kgraph.losses.function_loss import FunctionLoss
from kgraph.types import Array, ArrayLike, PolicyLike


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Returns the mean over the last axis of `(y_true - y_pred)²`."""
    y_true, y_pred = paired("mean_squared_error", y_true, y_pred)
    return jnp.mean(jnp.square(y_true - y_pred), axis=-1)


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Returns the mean over the last axis of `|y_true - y_pred|`."""
    y_true, y_pred = paired("mean_absolute_error", y_true, y_pred)
    return jnp.mean(jnp.abs(y_true - y_pred), axis=-1)


def mean_absolute_percentage_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Returns 100 times the mean over the last axis of `|y_true - y_pred| / |y_true|`.

    `|y_true|` is taken as at least `config.epsilon()`.
    """
    y_true, y_pred = paired("mean_absolute_percentage_error", y_true, y_pred)
    scale = jnp.maximum(jnp.abs(y_true), config.epsilon())
    return 100.0 * jnp.mean(jnp.abs((y_true - y_pred) / scale), axis=-1)


def mean_squared_logarithmic_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Returns the mean over the last axis of `(log(1 + y_true) - log(1 + y_pred))²`.

    Both sides are taken as at least `config.epsilon()`.
    """
    y_true, y_pred = paired("mean_squared_logarithmic_error", y_true, y_pred)
    log_pred = jnp.log(jnp.maximum(y_pred, config.epsilon()) + 1.0)
    log_true = jnp.log(jnp.maximum(y_true, config.epsilon()) + 1.0)
    return jnp.mean(jnp.square(log_pred - log_true), axis=-1)


def huber(y_true: ArrayLike, y_pred: ArrayLike, delta: float = 1.0) -> Array:
    """Returns the mean over the last axis of an error squared near 0 and linear beyond `delta`.

    Source: Huber, "Robust Estimation of a Location Parameter", 1964.
    """
    y_true, y_pred = paired("huber", y_true, y_pred)
    error = jnp.abs(y_pred - y_true)
    linear = delta * error - 0.5 * delta**2
    return jnp.mean(jnp.where(error <= delta, 0.5 * jnp.square(error), linear), axis=-1)


def log_cosh(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Returns the mean over the last axis of `log(cosh(y_pred - y_true))`, without overflow."""
    y_true, y_pred = paired("log_cosh", y_true, y_pred)
    error = y_pred - y_true
    return jnp.mean(error + jax.nn.softplus(-2.0 * error) - jnp.log(2.0).astype(error.dtype), -1)


def cosine_similarity(y_true: ArrayLike, y_pred: ArrayLike, axis: int = -1) -> Array:
    """Returns minus the cosine of the angle between targets and outputs: -1 where they agree.

    A vector of norm 0 has similarity 0.
    """
    y_true, y_pred = paired("cosine_similarity", y_true, y_pred)
    return -jnp.sum(unit_vectors(y_true, axis) * unit_vectors(y_pred, axis), axis=axis)


def unit_vectors(x: Array, axis: int) -> Array:
    """Returns `x` over its Euclidean norm along `axis`; the norm is at least `config.epsilon()`."""
    square = jnp.sum(jnp.square(x), axis=axis, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(square, config.epsilon() ** 2))


class MeanSquaredError(FunctionLoss):
    """The mean of squared errors: `(y_true - y_pred)²`."""

    function = staticmethod(mean_squared_error)


class MeanAbsoluteError(FunctionLoss):
    """The mean of absolute errors: `|y_true - y_pred|`."""

    function = staticmethod(mean_absolute_error)


class MeanAbsolutePercentageError(FunctionLoss):
    """The mean of relative errors, in percent."""

    function = staticmethod(mean_absolute_percentage_error)


class MeanSquaredLogarithmicError(FunctionLoss):
    """The mean of squared errors of `log(1 + y)`."""

    function = staticmethod(mean_squared_logarithmic_error)


class Huber(Loss):
    """Squared errors up to `delta`, absolute errors beyond.

    Args:
        delta: where the loss turns from square to linear.
        reduction: as in `Loss`.
        name: as in `Loss`.
        dtype: as in `Loss`.
    """

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "huber_loss",
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.delta = delta

    def call(self, y_true: Array, y_pred: Array) -> Array:
        return huber(y_true, y_pred, self.delta)


class LogCosh(FunctionLoss):
    """The mean of `log(cosh(error))`: square near 0, linear far away."""

    function = staticmethod(log_cosh)


class CosineSimilarity(Loss):
    """Minus the cosine of the angle between targets and outputs.

    Args:
        axis: the axis along which vectors lie.
        reduction: as in `Loss`.
        name: as in `Loss`.
        dtype: as in `Loss`.
    """

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "cosine_similarity",
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.axis = axis

    def call(self, y_true: Array, y_pred: Array) -> Array:
        return cosine_similarity(y_true, y_pred, self.axis)
