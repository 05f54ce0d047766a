"""Accuracies: how often the output is right, or among the best k."""

from __future__ import annotations

import jax.numpy as jnp

from kgraph.errors import DataError
from kgraph.losses.alignment import paired, same_rank, wide
from kgraph.metrics.reduction import MeanMetricWrapper
from kgraph.types import Array, ArrayLike, PolicyLike


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Returns 1 where `y_true` equals `y_pred`."""
    y_true, y_pred = same_rank(jnp.asarray(y_true), jnp.asarray(y_pred))
    if not _whole(y_true, y_pred):
        y_true, y_pred = paired("accuracy", y_true, y_pred)
    _check_shape("accuracy", y_true, y_pred.shape)
    return (y_true == y_pred.astype(y_true.dtype)).astype(jnp.float32)


def binary_accuracy(y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5) -> Array:
    """Returns 1 where `y_pred > threshold` says what `y_true` (0 or 1) says."""
    y_true, y_pred = paired("binary_accuracy", y_true, y_pred)
    return (y_true == (y_pred > threshold).astype(y_true.dtype)).astype(jnp.float32)


def categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Returns 1 where the largest output is that of the one-hot target."""
    y_true, y_pred = jnp.asarray(y_true), wide(y_pred)
    _check_shape("categorical_accuracy", y_true, y_pred.shape)
    return (jnp.argmax(y_true, -1) == jnp.argmax(y_pred, -1)).astype(jnp.float32)


def sparse_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Returns 1 where the largest output is that of the class number `y_true`."""
    y_pred = wide(y_pred)
    labels = class_labels("sparse_categorical_accuracy", y_true, y_pred)
    best = jnp.argmax(y_pred, -1).astype(labels.dtype)
    return (best == labels).astype(jnp.float32)


def top_k_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike, k: int = 5) -> Array:
    """Returns 1 where the class of the one-hot target has one of the `k` largest outputs."""
    y_true, y_pred = jnp.asarray(y_true), wide(y_pred)
    _check_shape("top_k_categorical_accuracy", y_true, y_pred.shape)
    return _in_top_k(jnp.argmax(y_true, -1), y_pred, k)


def sparse_top_k_categorical_accuracy(
    y_true: ArrayLike, y_pred: ArrayLike, k: int = 5, from_sorted_ids: bool = False
) -> Array:
    """Returns 1 where the class number `y_true` has one of the `k` largest outputs.

    Args:
        y_true: class numbers.
        y_pred: a score for each class; or class numbers, the best first.
        k: how many of the best to look at.
        from_sorted_ids: whether `y_pred` holds class numbers.
    """
    y_pred = jnp.asarray(y_pred)
    labels = class_labels("sparse_top_k_categorical_accuracy", y_true, y_pred)
    if from_sorted_ids:
        best = y_pred[..., :k] == labels[..., None].astype(y_pred.dtype)
        return jnp.any(best, axis=-1).astype(jnp.float32)
    return _in_top_k(labels.astype(jnp.int32), wide(y_pred), k)


def class_labels(owner: str, y_true: ArrayLike, y_pred: Array) -> Array:
    """Returns class numbers in their own dtype, shaped as `y_pred` without its last axis."""
    labels = jnp.asarray(y_true)
    if labels.ndim == y_pred.ndim and labels.shape[-1] == 1:
        labels = labels[..., 0]
    _check_shape(owner, labels, y_pred.shape[:-1])
    return wide(labels) if jnp.issubdtype(labels.dtype, jnp.floating) else labels


def _in_top_k(labels: Array, y_pred: Array, k: int) -> Array:
    """Ties count as hits; a label out of range, or a score that is NaN, does not."""
    known = (labels >= 0) & (labels < y_pred.shape[-1])
    own = jnp.take_along_axis(y_pred, jnp.where(known, labels, 0)[..., None], axis=-1)
    better = jnp.sum((y_pred > jnp.where(jnp.isnan(own), -jnp.inf, own)).astype(jnp.int32), -1)
    return (known & (better < k)).astype(jnp.float32)


def _whole(*arrays: Array) -> bool:
    return all(not jnp.issubdtype(a.dtype, jnp.floating) for a in arrays)


def _check_shape(owner: str, y_true: Array, expected: tuple[int, ...]) -> None:
    if y_true.shape != expected:
        raise DataError(
            f"{owner} has targets that do not fit the outputs",
            expected=f"y_true {expected}",
            received=f"y_true {y_true.shape}",
            hint="the sparse metrics take class numbers, the others one-hot targets",
        )


class Accuracy(MeanMetricWrapper):
    """How often outputs equal targets."""

    _direction = "up"

    def __init__(self, name: str = "accuracy", dtype: PolicyLike | None = None) -> None:
        super().__init__(accuracy, name, dtype)


class BinaryAccuracy(MeanMetricWrapper):
    """How often an output is on its target's side of `threshold`."""

    _direction = "up"

    def __init__(
        self, name: str = "binary_accuracy", dtype: PolicyLike | None = None, threshold: float = 0.5
    ) -> None:
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)


class CategoricalAccuracy(MeanMetricWrapper):
    """How often the largest output is that of the one-hot target."""

    _direction = "up"

    def __init__(self, name: str = "categorical_accuracy", dtype: PolicyLike | None = None) -> None:
        super().__init__(categorical_accuracy, name, dtype)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """How often the largest output is that of the class number."""

    _direction = "up"

    def __init__(
        self, name: str = "sparse_categorical_accuracy", dtype: PolicyLike | None = None
    ) -> None:
        super().__init__(sparse_categorical_accuracy, name, dtype)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the one-hot target has one of the `k` largest outputs."""

    _direction = "up"

    def __init__(
        self, k: int = 5, name: str = "top_k_categorical_accuracy", dtype: PolicyLike | None = None
    ) -> None:
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the class number has one of the `k` largest outputs."""

    _direction = "up"

    def __init__(
        self,
        k: int = 5,
        name: str = "sparse_top_k_categorical_accuracy",
        dtype: PolicyLike | None = None,
        from_sorted_ids: bool = False,
    ) -> None:
        fn = sparse_top_k_categorical_accuracy
        super().__init__(fn, name, dtype, k=k, from_sorted_ids=from_sorted_ids)
