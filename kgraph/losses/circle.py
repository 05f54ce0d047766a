"""The Circle loss: rows of one class are drawn together, rows of different classes apart."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.errors import DataError
from kgraph.losses.alignment import wide
from kgraph.losses.base import Loss
from kgraph.losses.labels import check_class_labels
from kgraph.types import Array, ArrayLike, PolicyLike, Shape


def circle(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    ref_labels: ArrayLike | None = None,
    ref_embeddings: ArrayLike | None = None,
    remove_diagonal: bool = True,
    gamma: float = 80.0,
    margin: float = 0.4,
) -> Array:
    """Returns the Circle loss of each row: small where its class is near and the others are far.

    A row without a positive or without a negative pair has the loss 0.

    Shapes: labels `[batch]`, embeddings `[batch, features]` of length 1; the result is `[batch]`.

    Args:
        y_true: class numbers.
        y_pred: embeddings.
        ref_labels: the class numbers of what rows are compared with; by default `y_true`.
        ref_embeddings: what rows are compared with; by default `y_pred`.
        remove_diagonal: whether a row is no positive pair of itself.
        gamma: the scale of similarities.
        margin: how far beyond the ideal pairs are still pulled and pushed.

    Raises:
        DataError: if there is not one label for each embedding.

    Source: Sun et al., "Circle loss", arXiv:2002.10857, equations 6 to 9, with distances
    `1 - cosine` in the place of similarities.
    """
    y_pred = wide(y_pred)
    others = y_pred if ref_embeddings is None else wide(ref_embeddings)
    same = _same_class(y_true, y_pred, y_true if ref_labels is None else ref_labels, others)
    positive = same & ~jnp.eye(*same.shape, dtype=bool) if remove_diagonal else same
    distance = jnp.maximum(1.0 - y_pred @ others.T, 0.0)
    pulled = gamma * (margin + distance) * (distance - margin)
    pushed = gamma * jnp.maximum(1.0 + margin - distance, 0.0) * (1.0 - margin - distance)
    near, has_positive = _log_sum_exp(pulled, positive)
    far, has_negative = _log_sum_exp(pushed, ~same)
    return jnp.where(has_positive & has_negative, jax.nn.softplus(near + far), 0.0)


def _same_class(y_true: ArrayLike, y_pred: Array, ref_labels: ArrayLike, others: Array) -> Array:
    """Tells for each pair of rows whether it has one class: `[batch, references]`."""
    rows = _labels("circle", y_true, y_pred)
    return rows[:, None] == _labels("the references of circle", ref_labels, others)[None]


def _labels(owner: str, labels: Any, embeddings: Array) -> Array:
    labels = jnp.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise DataError(
            f"{owner} needs one class number for each embedding",
            expected="labels [batch] and embeddings [batch, features]",
            received=f"labels {labels.shape} and embeddings {embeddings.shape}",
        )
    return labels.astype(jnp.int32)


def _log_sum_exp(x: Array, kept: Array) -> tuple[Array, Array]:
    """Returns the log of the sum of exponentials where `kept`, and which rows have any."""
    some = jnp.any(kept, axis=1)
    # A row with nothing kept is computed as if all were: its gradient would be NaN otherwise.
    kept = kept | ~some[:, None]
    return jax.nn.logsumexp(jnp.where(kept, x, -jnp.inf), axis=1), some


class Circle(Loss, rows_independent=False):
    """The Circle loss of embeddings within a batch, for targets that are class numbers.

    Outputs should have length 1: end the model in `UnitNormalization`. Rows that have no positive
    or no negative pair in their batch do not count, neither in the sum nor in the mean.

    Args:
        gamma: the scale of similarities.
        margin: how far beyond the ideal pairs are still pulled and pushed.
        remove_diagonal: whether a row is no positive pair of itself.
        reduction: as in `Loss`.
        name: as in `Loss`.
        dtype: as in `Loss`.
    """

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str = "circle",
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.gamma, self.margin = gamma, margin
        self.remove_diagonal = remove_diagonal

    def call(self, y_true: Array, y_pred: Array) -> Array:
        return circle(
            y_true, y_pred, None, None, self.remove_diagonal, self.gamma, self.margin
        )  # fmt: skip

    def _kgraph_value_mask(self, y_true: Array, values: Array) -> Array | None:
        labels = jnp.asarray(y_true).reshape(values.shape)
        same = labels[:, None] == labels[None]
        alone = jnp.sum(same, axis=1) == (1 if self.remove_diagonal else 0)
        return ~(alone | jnp.all(same, axis=1))

    def _kgraph_check_labels(self, y_true: np.ndarray, output_shape: Shape) -> None:
        # Any whole number is a class: the axis of the output holds features.
        check_class_labels(self.name, y_true, (*output_shape[:-1], None), -1, None)
