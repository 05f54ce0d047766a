"""Losses of overlapping regions (segmentation): Dice and Tversky."""

from __future__ import annotations

import jax.numpy as jnp

from kgraph import config
from kgraph.losses.alignment import paired
from kgraph.losses.base import Loss
from kgraph.types import Array, ArrayLike, PolicyLike

Axis = int | tuple[int, ...] | list[int] | None


def dice(y_true: ArrayLike, y_pred: ArrayLike, axis: Axis = None) -> Array:
    """Returns 1 minus twice the overlap over the sum of both sizes.

    Args:
        y_true: targets in [0, 1].
        y_pred: outputs in [0, 1].
        axis: the axes that make up one region; None is the whole batch.
    """
    y_true, y_pred = paired("dice", y_true, y_pred)
    axis = _axes(axis)
    sizes = jnp.sum(y_true, axis) + jnp.sum(y_pred, axis)
    return 1.0 - 2.0 * jnp.sum(y_true * y_pred, axis) / (sizes + config.epsilon())


def tversky(
    y_true: ArrayLike, y_pred: ArrayLike, alpha: float = 0.5, beta: float = 0.5, axis: Axis = None
) -> Array:
    """Returns 1 minus the overlap over itself plus the weighted misses and false alarms.

    Args:
        y_true: targets in [0, 1].
        y_pred: outputs in [0, 1].
        alpha: the weight of what is in the targets only. (Keras computes this too, though it calls
            it the weight of false positives.)
        beta: the weight of what is in the outputs only.
        axis: the axes that make up one region; None is the whole batch.

    Source: Salehi et al., "Tversky loss function for image segmentation", arXiv:1706.05721.
    """
    y_true, y_pred = paired("tversky", y_true, y_pred)
    axis = _axes(axis)
    overlap = jnp.sum(y_true * y_pred, axis)
    missed = jnp.sum(y_true * (1.0 - y_pred), axis)
    alarms = jnp.sum((1.0 - y_true) * y_pred, axis)
    return 1.0 - overlap / (overlap + alpha * missed + beta * alarms + config.epsilon())


def _axes(axis: Axis) -> int | tuple[int, ...] | None:
    return tuple(axis) if isinstance(axis, list) else axis


def _rows_independent(loss: _Overlap) -> bool:
    axes = loss.axis if isinstance(loss.axis, (tuple, list)) else (loss.axis,)
    return None not in axes and 0 not in axes


class _Overlap(Loss, rows_independent=_rows_independent):
    """What the losses of regions share: a region may span several rows of the batch."""

    axis: Axis


class Dice(_Overlap):
    """1 minus the Dice coefficient of the overlap.

    Args:
        reduction: as in `Loss`.
        name: as in `Loss`.
        axis: the axes that make up one region; None is the whole batch.
        dtype: as in `Loss`.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "dice",
        axis: Axis = None,
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.axis = axis

    def call(self, y_true: Array, y_pred: Array) -> Array:
        return dice(y_true, y_pred, self.axis)


class Tversky(_Overlap):
    """1 minus the Tversky index of the overlap.

    Args:
        alpha: the weight of what is in the targets only.
        beta: the weight of what is in the outputs only.
        reduction: as in `Loss`.
        name: as in `Loss`.
        axis: the axes that make up one region; None is the whole batch.
        dtype: as in `Loss`.
    """

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str = "tversky",
        axis: Axis = None,
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.alpha, self.beta, self.axis = alpha, beta, axis

    def call(self, y_true: Array, y_pred: Array) -> Array:
        return tversky(y_true, y_pred, self.alpha, self.beta, self.axis)
