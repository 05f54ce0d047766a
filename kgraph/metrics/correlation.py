"""How well outputs follow targets: the correlations of Pearson and of Lin."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from kgraph import config
from kgraph.errors import DataError
from kgraph.losses.alignment import paired
from kgraph.metrics.reduction import MeanMetricWrapper
from kgraph.types import Array, ArrayLike, PolicyLike

Axis = int | tuple[int, ...] | list[int]


class _Moments(NamedTuple):
    """Means of each side and of their products, along the axes of one correlation."""

    shift: Array  # of the outputs' mean against the targets'
    true: Array
    pred: Array
    both: Array


def pearson_correlation(y_true: ArrayLike, y_pred: ArrayLike, axis: Axis = -1) -> Array:
    """Returns the Pearson correlation of targets and outputs along `axis`, from -1 to 1.

    Where one of them is constant it is not defined: NaN.

    Raises:
        DataError: if the shapes differ, or there is a single value along `axis`.
    """
    found = _moments("pearson_correlation", y_true, y_pred, axis)
    # Two roots: the product of the variances of small numbers would underflow.
    return found.both / (jnp.sqrt(found.true) * jnp.sqrt(found.pred))


def concordance_correlation(y_true: ArrayLike, y_pred: ArrayLike, axis: Axis = -1) -> Array:
    """Returns the concordance correlation along `axis`, which is 1 where outputs equal targets.

    Raises:
        DataError: if the shapes differ, or there is a single value along `axis`.

    Source: Lin, "A concordance correlation coefficient to evaluate reproducibility" (Biometrics,
    1989). That `config.epsilon()` is added to the divisor is Keras' way.
    """
    found = _moments("concordance_correlation", y_true, y_pred, axis)
    spread = found.true + found.pred + jnp.square(found.shift)
    return 2.0 * found.both / (spread + config.epsilon())


def _moments(owner: str, y_true: ArrayLike, y_pred: ArrayLike, axis: Axis) -> _Moments:
    y_true, y_pred = paired(owner, y_true, y_pred)
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    if all(y_pred.shape[a] == 1 for a in axes):
        raise DataError(
            f"{owner} needs several values to correlate",
            received=f"outputs {y_pred.shape} with a single value along axis {axis}",
            hint="axis=0 correlates over the rows of a batch",
        )
    mean_true = jnp.mean(y_true, axes, keepdims=True)
    mean_pred = jnp.mean(y_pred, axes, keepdims=True)
    true, pred = y_true - mean_true, y_pred - mean_pred
    return _Moments(
        jnp.squeeze(mean_true - mean_pred, axes),
        jnp.mean(jnp.square(true), axes),
        jnp.mean(jnp.square(pred), axes),
        jnp.mean(true * pred, axes),
    )


def _rows_independent(metric: _Correlation) -> bool:
    return 0 not in (metric.axis if isinstance(metric.axis, (tuple, list)) else (metric.axis,))


class _Correlation(MeanMetricWrapper, rows_independent=_rows_independent):
    """What both have in common: more is better, and an axis that may be that of the rows."""

    _direction = "up"
    axis: Axis


class PearsonCorrelation(_Correlation):
    """The mean of the Pearson correlations of targets and outputs.

    Args:
        name: as in `Metric`.
        dtype: as in `Metric`.
        axis: the axis (or axes) along which values are correlated; 0 correlates within each batch.
    """

    def __init__(
        self, name: str = "pearson_correlation", dtype: PolicyLike | None = None, axis: Axis = -1
    ) -> None:
        super().__init__(pearson_correlation, name, dtype, axis=axis)
        self.axis = axis


class ConcordanceCorrelation(_Correlation):
    """The mean of the concordance correlations of targets and outputs.

    Args:
        name: as in `Metric`.
        dtype: as in `Metric`.
        axis: the axis (or axes) along which values are correlated; 0 correlates within each batch.
    """

    def __init__(
        self,
        name: str = "concordance_correlation",
        dtype: PolicyLike | None = None,
        axis: Axis = -1,
    ) -> None:
        super().__init__(concordance_correlation, name, dtype, axis=axis)
        self.axis = axis
