"""Errors of numbers as metrics."""

from __future__ import annotations

import jax.numpy as jnp

from kgraph import losses
from kgraph.losses.alignment import paired
from kgraph.metrics.reduction import Mean, MeanMetricWrapper
from kgraph.types import Array, ArrayLike, PolicyLike


def cosine_similarity(y_true: ArrayLike, y_pred: ArrayLike, axis: int = -1) -> Array:
    """Returns the cosine of the angle between targets and outputs (the loss is its negative)."""
    return -losses.cosine_similarity(y_true, y_pred, axis)


class MeanSquaredError(MeanMetricWrapper):
    """The mean of squared errors."""

    _direction = "down"

    def __init__(self, name: str = "mean_squared_error", dtype: PolicyLike | None = None) -> None:
        super().__init__(losses.mean_squared_error, name, dtype)


class MeanAbsoluteError(MeanMetricWrapper):
    """The mean of absolute errors."""

    _direction = "down"

    def __init__(self, name: str = "mean_absolute_error", dtype: PolicyLike | None = None) -> None:
        super().__init__(losses.mean_absolute_error, name, dtype)


class MeanAbsolutePercentageError(MeanMetricWrapper):
    """The mean of relative errors, in percent."""

    _direction = "down"

    def __init__(
        self, name: str = "mean_absolute_percentage_error", dtype: PolicyLike | None = None
    ) -> None:
        super().__init__(losses.mean_absolute_percentage_error, name, dtype)


class MeanSquaredLogarithmicError(MeanMetricWrapper):
    """The mean of squared errors of `log(1 + y)`."""

    _direction = "down"

    def __init__(
        self, name: str = "mean_squared_logarithmic_error", dtype: PolicyLike | None = None
    ) -> None:
        super().__init__(losses.mean_squared_logarithmic_error, name, dtype)


class LogCoshError(MeanMetricWrapper):
    """The mean of `log(cosh(error))`."""

    _direction = "down"

    def __init__(self, name: str = "logcosh", dtype: PolicyLike | None = None) -> None:
        super().__init__(losses.log_cosh, name, dtype)


class CosineSimilarity(MeanMetricWrapper):
    """The mean cosine of the angle between targets and outputs."""

    _direction = "up"

    def __init__(
        self, name: str = "cosine_similarity", dtype: PolicyLike | None = None, axis: int = -1
    ) -> None:
        super().__init__(cosine_similarity, name, dtype, axis=axis)


class RootMeanSquaredError(Mean):
    """The square root of the mean squared error over everything seen so far."""

    _direction = "down"

    def __init__(
        self, name: str = "root_mean_squared_error", dtype: PolicyLike | None = None
    ) -> None:
        super().__init__(name, dtype)

    def update_state(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        y_true, y_pred = paired("root_mean_squared_error", y_true, y_pred)
        super().update_state(jnp.square(y_pred - y_true), sample_weight)

    def result(self) -> Array:
        return jnp.sqrt(super().result())
