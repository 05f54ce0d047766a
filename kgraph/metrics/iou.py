"""Intersection over union of classes, from a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from kgraph import config
from kgraph.errors import ConfigError, DataError
from kgraph.losses.alignment import fit_weights, wide
from kgraph.metrics.base import Metric
from kgraph.types import Array, ArrayLike, PolicyLike


class IoU(Metric):
    """The mean over some classes of intersection over union: tp / (tp + fp + fn).

    Classes that were neither a target nor an output are left out of the mean; class numbers
    outside [0, num_classes) are not counted. Weights are floats (Keras cuts them to integers).

    Args:
        num_classes: the number of classes.
        target_class_ids: the classes to average over.
        name: as in `Metric`.
        dtype: as in `Metric`.
        ignore_class: a target that does not count.
        sparse_y_true: whether targets are class numbers (or else one-hot).
        sparse_y_pred: whether outputs are class numbers (or else scores of the classes).
        axis: the axis of the classes, for what is not sparse.
    """

    _direction = "up"
    total_cm: Array

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: PolicyLike | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.num_classes, self.ignore_class = num_classes, ignore_class
        self.add_total("total_cm", (num_classes, num_classes))
        self.target_class_ids = [int(i) for i in target_class_ids]
        if any(not 0 <= i < num_classes for i in self.target_class_ids):
            raise ConfigError(
                f"{type(self).__name__} has a target class that is out of range",
                expected=f"0 to {num_classes - 1}",
                received=str(self.target_class_ids),
            )
        self.sparse_y_true, self.sparse_y_pred, self.axis = sparse_y_true, sparse_y_pred, axis

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        true = self._classes(y_true, self.sparse_y_true)
        pred = self._classes(y_pred, self.sparse_y_pred)
        if true.size != pred.size:
            raise DataError(
                f"{self.name} has targets that do not fit the outputs",
                expected=f"classes of shape {pred.shape}",
                received=f"classes of shape {true.shape}",
            )
        weights = jnp.ones(pred.shape, self._dtype)
        if sample_weight is not None:
            given = jnp.asarray(sample_weight).astype(self._dtype)
            weights = jnp.broadcast_to(fit_weights(weights, given)[1], pred.shape)
        true, pred, weights = true.ravel(), pred.ravel(), weights.ravel()
        known = (true >= 0) & (true < self.num_classes) & (pred >= 0) & (pred < self.num_classes)
        if self.ignore_class is not None:
            known &= true != self.ignore_class
        cell = jnp.where(known, true * self.num_classes + pred, 0)
        flat = jax.ops.segment_sum(jnp.where(known, weights, 0.0), cell, self.num_classes**2)
        self.accumulate(total_cm=flat.reshape(self.num_classes, self.num_classes))

    def result(self) -> Array:
        matrix = jnp.asarray(self.total_cm)
        hits = jnp.diagonal(matrix)
        union = jnp.sum(matrix, 0) + jnp.sum(matrix, 1) - hits
        chosen = jnp.asarray(self.target_class_ids)
        hits, union = hits[chosen], union[chosen]
        seen = union > 1e-9
        shares = jnp.where(seen, hits / (union + config.epsilon()), 0.0)
        return jnp.sum(shares) / (jnp.sum(seen.astype(shares.dtype)) + config.epsilon())

    def _classes(self, y: Any, sparse: bool) -> Array:
        y = jnp.asarray(y)
        return (y if sparse else jnp.argmax(y, axis=self.axis)).astype(jnp.int32)


class BinaryIoU(IoU):
    """Intersection over union of two classes, decided by a threshold.

    Args:
        target_class_ids: the classes to average over: 0, 1 or both.
        threshold: an output of at least this is class 1.
        name: as in `Metric`.
        dtype: as in `Metric`.
    """

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(2, target_class_ids, name=name, dtype=dtype)
        self.threshold = threshold

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        super().update_state(y_true, wide(y_pred) >= self.threshold, sample_weight)


class MeanIoU(IoU):
    """The mean over all classes of intersection over union; arguments as in `IoU`."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: PolicyLike | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        classes = range(num_classes)
        options = (name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)
        super().__init__(num_classes, classes, *options)


class OneHotIoU(IoU):
    """Intersection over union of classes, for one-hot targets; arguments as in `IoU`."""

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: PolicyLike | None = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        options = (name, dtype, ignore_class, False, sparse_y_pred, axis)
        super().__init__(num_classes, target_class_ids, *options)


class OneHotMeanIoU(MeanIoU):
    """The mean over all classes of intersection over union, for one-hot targets."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: PolicyLike | None = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        options = (name, dtype, ignore_class, False, sparse_y_pred, axis)
        super().__init__(num_classes, *options)
