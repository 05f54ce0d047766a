"""Focal cross-entropies: samples that are already right weigh less.

Source: Lin et al., "Focal Loss for Dense Object Detection", arXiv:1708.02002. From logits the
logarithms are exact and not clipped at eps, unlike Keras, which first makes probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from kgraph import config
from kgraph.losses.alignment import paired
from kgraph.losses.base import Loss
from kgraph.losses.binary import smooth_binary
from kgraph.losses.crossentropy import (
    paired_classes,
    smooth_classes,
    with_logits,
)
from kgraph.ops.functions.entropies import binary_elementwise, log_probabilities
from kgraph.types import Array, ArrayLike, PolicyLike


def binary_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """Returns the mean over `axis` of the binary cross-entropy times `(1 - p_right) ** gamma`.

    Args:
        y_true: targets in [0, 1].
        y_pred: probabilities, or logits.
        apply_class_balancing: whether positives weigh `alpha` and negatives `1 - alpha`.
        alpha: the weight of positives.
        gamma: how much less a sample weighs that is right; 0 gives the plain cross-entropy.
        from_logits: whether `y_pred` holds logits.
        label_smoothing: how far targets are drawn towards 1/2.
        axis: the axis averaged over.
    """
    y_true, y_pred = paired("binary_focal_crossentropy", y_true, y_pred)
    y_true = smooth_binary(y_true, label_smoothing)
    yes, no = (
        (jax.nn.sigmoid(y_pred), jax.nn.sigmoid(-y_pred))
        if from_logits
        else (
            y_pred,
            1.0 - y_pred,
        )
    )
    wrong = y_true * no + (1.0 - y_true) * yes
    loss = jnp.power(wrong, gamma) * binary_elementwise(y_true, y_pred, from_logits)
    if apply_class_balancing:
        loss = loss * (y_true * alpha + (1.0 - y_true) * (1.0 - alpha))
    return jnp.mean(loss, axis=axis)


def categorical_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    alpha: float | Sequence[float] = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """Returns `alpha` times the sum over the classes of `-y log(p) (1 - p) ** gamma`.

    Args:
        y_true: one-hot targets, or distributions.
        y_pred: probabilities, or logits.
        alpha: a factor on the whole (or one for each class).
        gamma: how much less a sample weighs that is right; 0 gives the plain cross-entropy.
        from_logits: whether `y_pred` holds logits.
        label_smoothing: the part of the targets that is spread evenly over the classes.
        axis: the axis of the classes.
    """
    y_true, y_pred = paired_classes("categorical_focal_crossentropy", y_true, y_pred, axis)
    y_true = smooth_classes(y_true, label_smoothing, axis)
    log_p = log_probabilities(y_pred, from_logits, axis)
    if from_logits:
        wrong = 1.0 - jnp.exp(log_p)
    else:
        p = y_pred / jnp.sum(y_pred, axis=axis, keepdims=True)
        wrong = 1.0 - jnp.clip(p, config.epsilon(), 1.0 - config.epsilon())
    weight = jnp.power(wrong, gamma) * _class_weights(alpha, y_pred, axis)
    return -jnp.sum(weight * y_true * log_p, axis=axis)


def _class_weights(alpha: float | Sequence[float], y_pred: Array, axis: int) -> Array:
    """Returns `alpha` as an array that multiplies along the axis of the classes."""
    weights = jnp.asarray(alpha, y_pred.dtype)
    if weights.ndim == 0:
        return weights
    shape = [1] * y_pred.ndim
    shape[axis] = weights.size
    return weights.reshape(shape)


class BinaryFocalCrossentropy(Loss):
    """Binary cross-entropy in which samples that are already right weigh less.

    Args:
        apply_class_balancing: whether positives weigh `alpha` and negatives `1 - alpha`.
        alpha: the weight of positives.
        gamma: how much less a sample weighs that is right.
        from_logits: whether outputs are logits.
        label_smoothing: how far targets are drawn towards 1/2.
        axis: the axis averaged over.
        reduction: as in `Loss`.
        name: as in `Loss`.
        dtype: as in `Loss`.
    """

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_focal_crossentropy",
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.apply_class_balancing, self.alpha, self.gamma = apply_class_balancing, alpha, gamma
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def call(self, y_true: Array, y_pred: Array) -> Array:
        return binary_focal_crossentropy(
            y_true,
            y_pred,
            apply_class_balancing=self.apply_class_balancing,
            alpha=self.alpha,
            gamma=self.gamma,
            from_logits=self.from_logits,
            label_smoothing=self.label_smoothing,
            axis=self.axis,
        )

    def _kgraph_on_logits(self, function: str | None = "sigmoid") -> Loss | None:
        return with_logits(self) if function == "sigmoid" else None


class CategoricalFocalCrossentropy(Loss):
    """Cross-entropy of classes in which samples that are already right weigh less.

    Args:
        alpha: a factor on the whole (or one for each class).
        gamma: how much less a sample weighs that is right.
        from_logits: whether outputs are logits.
        label_smoothing: the part of the targets that is spread evenly over the classes.
        axis: the axis of the classes.
        reduction: as in `Loss`.
        name: as in `Loss`.
        dtype: as in `Loss`.
    """

    def __init__(
        self,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_focal_crossentropy",
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.alpha, self.gamma, self.from_logits = alpha, gamma, from_logits
        self.label_smoothing, self.axis = label_smoothing, axis

    def call(self, y_true: Array, y_pred: Array) -> Array:
        return categorical_focal_crossentropy(
            y_true,
            y_pred,
            alpha=self.alpha,
            gamma=self.gamma,
            from_logits=self.from_logits,
            label_smoothing=self.label_smoothing,
            axis=self.axis,
        )

    def _kgraph_on_logits(self, function: str | None = "softmax") -> Loss | None:
        return with_logits(self) if function == "softmax" else None
