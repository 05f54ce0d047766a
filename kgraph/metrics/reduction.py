"""Sums and means over batches, and the metric of a function."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from kgraph import losses
from kgraph.errors import ConfigError
from kgraph.losses.alignment import divide_or_zero, fit_weights, wide
from kgraph.losses.base import rows_of_function
from kgraph.losses.reduction import combine_weights
from kgraph.metrics.base import Metric
from kgraph.registry import snake_case
from kgraph.types import Array, ArrayLike, Function, PolicyLike


class Sum(Metric):
    """The (weighted) sum of values."""

    total: Array

    def __init__(self, name: str = "sum", dtype: PolicyLike | None = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.add_total("total")

    def update_state(self, values: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        values = wide(values)
        if sample_weight is not None:
            values, weights = fit_weights(values, jnp.asarray(sample_weight).astype(values.dtype))
            values = jnp.where(weights == 0, 0.0, values) * weights
        self.accumulate(total=jnp.sum(values))

    def result(self) -> Array:
        return jnp.asarray(self.total)


class Mean(Metric):
    """The (weighted) mean of values over everything seen so far; 0 before the first.

    A value of several steps or features counts as one sample, with the mean of its parts.
    """

    total: Array
    count: Array

    def __init__(self, name: str = "mean", dtype: PolicyLike | None = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.add_total("total")
        self.add_total("count")

    def update_state(self, values: ArrayLike, sample_weight: ArrayLike | None = None) -> None:
        total, count = weighted_total(wide(values), sample_weight)
        self.accumulate(total=total, count=count)

    def result(self) -> Array:
        return divide_or_zero(jnp.asarray(self.total), jnp.asarray(self.count))


def weighted_total(values: Array, sample_weight: ArrayLike | None) -> tuple[Array, Array]:
    """Returns the weighted sum over the samples, and the sum of their weights.

    Axes after the first are averaged over, in the values and in the weights alike. One weight for
    the whole batch makes it one sample, as in Keras.
    """
    if sample_weight is None:
        samples = values.shape[0] if values.ndim else 1
        return jnp.sum(_row_means(values)), jnp.asarray(samples, values.dtype)
    weights = jnp.asarray(sample_weight).astype(values.dtype)
    if weights.ndim == 0:
        return jnp.mean(values) * weights, weights
    values, weights = fit_weights(values, weights)
    weights = jnp.broadcast_to(weights, values.shape)
    values = jnp.where(weights == 0, 0.0, values) * weights
    return jnp.sum(_row_means(values)), jnp.sum(_row_means(weights))


def _row_means(values: Array) -> Array:
    return jnp.mean(values, axis=tuple(range(1, values.ndim)))


class MeanMetricWrapper(Mean, rows_independent=rows_of_function):
    """The mean of a function `fn(y_true, y_pred, **kwargs)` of one value for each sample.

    Args:
        fn: the function.
        name: by default the name of the function.
        dtype: as in `Metric`.
        **kwargs: passed on to `fn`.
    """

    def __init__(
        self, fn: Function, name: str | None = None, dtype: PolicyLike | None = None, **kwargs: Any
    ) -> None:
        if not callable(fn):
            raise ConfigError("A metric function must be callable", received=repr(fn))
        name = name or str(getattr(fn, "__name__", snake_case(type(fn).__name__)))
        super().__init__(name, dtype)
        self.fn, self.options = fn, kwargs
        if is_loss(fn):
            self._direction = "down"

    # Like Keras' own, this Mean takes targets and outputs where its base takes values.
    def update_state(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        values = wide(self.fn(y_true, y_pred, **self.options))
        mask = self.value_mask(y_true, values)
        super().update_state(values, combine_weights(sample_weight, mask, values.dtype))

    def value_mask(self, y_true: ArrayLike, values: Array) -> Array | None:
        """Returns which of the values count, or None for all of them."""
        return None


def is_loss(fn: Any) -> bool:
    """Tells whether a function is one of kgraph's losses, so that less of it is better."""
    own = (getattr(losses, name) for name in losses.__all__)
    return isinstance(fn, losses.Loss) or any(fn is known for known in own)
