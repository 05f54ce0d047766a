"""Cross-entropy of classes, with one-hot targets or class numbers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.errors import DataError
from kgraph.losses.alignment import paired, wide
from kgraph.losses.base import Loss
from kgraph.losses.in_pieces import Classes
from kgraph.losses.labels import check_class_labels
from kgraph.ops.functions.entropies import log_probabilities
from kgraph.registry import recorded_arguments
from kgraph.source import warn
from kgraph.types import Array, ArrayLike, PolicyLike, Shape


def smooth_classes(y_true: Array, amount: float, axis: int) -> Array:
    """Returns one-hot targets with `amount` of their mass spread evenly over the classes."""
    return y_true * (1.0 - amount) + amount / y_true.shape[axis] if amount else y_true


def paired_classes(
    owner: str, y_true: ArrayLike, y_pred: ArrayLike, axis: int
) -> tuple[Array, Array]:
    """Returns one-hot targets and outputs as wide floats of one shape."""
    hint = "loss='sparse_categorical_crossentropy' for class numbers, or one-hot targets"
    y_true, y_pred = paired(owner, y_true, y_pred, hint)
    if y_pred.shape[axis] == 1:
        warn(
            f"{owner} over a single class is always 0; for two classes in one number, use "
            "'binary_crossentropy'",
        )
    return y_true, y_pred


def categorical_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """Returns minus the sum over the classes of `y_true * log(y_pred)`.

    Args:
        y_true: one-hot targets, or distributions.
        y_pred: probabilities, or logits.
        from_logits: whether `y_pred` holds logits.
        label_smoothing: the part of the targets that is spread evenly over the classes.
        axis: the axis of the classes.
    """
    y_true, y_pred = paired_classes("categorical_crossentropy", y_true, y_pred, axis)
    y_true = smooth_classes(y_true, label_smoothing, axis)
    return -jnp.sum(y_true * log_probabilities(y_pred, from_logits, axis), axis=axis)


def sparse_categorical_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Array:
    """Returns minus the logarithm of the probability of the class that `y_true` names.

    Args:
        y_true: class numbers, with the shape of `y_pred` without `axis` (or with size 1 there).
        y_pred: probabilities, or logits.
        from_logits: whether `y_pred` holds logits.
        ignore_class: a class number whose loss is 0.
        axis: the axis of the classes.

    Raises:
        DataError: if the shapes do not fit.
    """
    y_pred = wide(y_pred)
    labels = class_numbers(jnp.asarray(y_true), y_pred, axis)
    log_prob = log_probabilities(y_pred, from_logits, axis)
    # A one-hot sum and not a gather: its gradient needs no scatter, and XLA fuses it away.
    hot = jax.nn.one_hot(labels, y_pred.shape[axis], axis=axis, dtype=y_pred.dtype)
    if ignore_class is None:
        return -jnp.sum(hot * log_prob, axis=axis)
    kept = jnp.expand_dims(labels != ignore_class, axis)
    return -jnp.sum(jnp.where(kept, hot * log_prob, 0.0), axis=axis)


def class_numbers(
    y_true: Array, y_pred: Array, axis: int, owner: str = "sparse_categorical_crossentropy"
) -> Array:
    """Returns class numbers as integers, shaped as `y_pred` without the axis of the classes."""
    if y_true.ndim == y_pred.ndim and y_true.shape[axis] == 1:
        y_true = jnp.squeeze(y_true, axis)
    expected = list(y_pred.shape)
    del expected[axis]
    if y_true.shape != tuple(expected):
        raise DataError(
            f"{owner} needs one class number for each distribution",
            expected=f"y_true {tuple(expected)}, as y_pred is {y_pred.shape}",
            received=f"y_true {y_true.shape}",
            hint="loss='categorical_crossentropy', or y_true.argmax(-1), for one-hot targets",
        )
    return y_true if jnp.issubdtype(y_true.dtype, jnp.integer) else y_true.astype(jnp.int32)


def class_targets(y_true: ArrayLike, shape: Shape, sparse: bool) -> Array:
    """Returns class numbers or one-hot targets, checked against logits of a shape."""
    logits = jnp.zeros(shape)  # whose numbers nobody reads
    if sparse:
        return class_numbers(jnp.asarray(y_true), logits, -1)
    return paired_classes("categorical_crossentropy", y_true, logits, -1)[0]


class CategoricalCrossentropy(Loss):
    """The cross-entropy of classes, for one-hot targets.

    Args:
        from_logits: whether outputs are logits; the same numbers, more exact than after a softmax.
        label_smoothing: the part of the targets that is spread evenly over the classes.
        axis: the axis of the classes.
        reduction: as in `Loss`.
        name: as in `Loss`.
        dtype: as in `Loss`.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def call(self, y_true: Array, y_pred: Array) -> Array:
        return categorical_crossentropy(
            y_true, y_pred, self.from_logits, self.label_smoothing, self.axis
        )

    def _kgraph_on_logits(self, function: str | None = "softmax") -> Loss | None:
        return with_logits(self) if function == "softmax" else None

    def _kgraph_classes(self) -> Classes | None:
        return Classes(False, self.label_smoothing) if self.from_logits else None


class SparseCategoricalCrossentropy(Loss):
    """The cross-entropy of classes, for targets that are class numbers.

    Args:
        from_logits: whether outputs are logits; the same numbers, more exact than after a softmax.
        ignore_class: a class number that does not count (neither in the sum nor in the mean).
        reduction: as in `Loss`.
        axis: the axis of the classes.
        name: as in `Loss`.
        dtype: as in `Loss`.
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str = "sparse_categorical_crossentropy",
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.from_logits, self.ignore_class, self.axis = from_logits, ignore_class, axis

    def call(self, y_true: Array, y_pred: Array) -> Array:
        return sparse_categorical_crossentropy(
            y_true, y_pred, self.from_logits, self.ignore_class, self.axis
        )

    def _kgraph_value_mask(self, y_true: Array, values: Array) -> Array | None:
        if self.ignore_class is None:
            return None
        return (jnp.asarray(y_true) != self.ignore_class).reshape(values.shape)

    def _kgraph_on_logits(self, function: str | None = "softmax") -> Loss | None:
        return with_logits(self) if function == "softmax" else None

    def _kgraph_classes(self) -> Classes | None:
        return Classes(True) if self.from_logits else None

    def _kgraph_check_labels(self, y_true: np.ndarray, output_shape: Shape) -> None:
        check_class_labels(self.name, y_true, output_shape, self.axis, self.ignore_class)


def with_logits(loss: Any) -> Any:
    """Returns the loss with `from_logits=True`, or None if it has that already."""
    if loss.from_logits:
        return None
    return type(loss)(**{**recorded_arguments(loss), "from_logits": True})
