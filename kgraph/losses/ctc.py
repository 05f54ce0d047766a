"""Connectionist temporal classification: sequences of labels without their times."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from kgraph.errors import DataError
from kgraph.losses import reduction as reducing
from kgraph.losses.alignment import wide
from kgraph.losses.base import Loss
from kgraph.losses.labels import check_numbers, rows_where
from kgraph.losses.reduction import Terms, combine_masks
from kgraph.types import Array, ArrayLike, PolicyLike, Shape

BLANK = 0
"""The class that stands for no label in outputs, and for the end in targets."""


def ctc(y_true: Any, y_pred: Any, mask: ArrayLike | None = None) -> Array:
    """Returns minus the log-probability of each row of labels, over all ways to place them in time.

    Shapes: labels `[batch, length]`, outputs `[batch, time, classes]`; the result is `[batch]`.

    Args:
        y_true: class numbers from 1; a row ends at its first 0.
        y_pred: logits; class 0 is the blank between labels.
        mask: `[batch, time]`, where outputs count; by default everywhere.

    Raises:
        DataError: if the shapes do not fit.

    Source: Graves et al., "Connectionist temporal classification" (ICML 2006); the recursion is
    optax's.
    """
    import optax

    y_pred, labels = wide(y_pred), jnp.asarray(y_true).astype(jnp.int32)
    if labels.ndim != 2 or y_pred.ndim != 3 or labels.shape[0] != y_pred.shape[0]:
        raise DataError(
            "ctc needs rows of labels and sequences of logits",
            expected="y_true [batch, length] and y_pred [batch, time, classes]",
            received=f"y_true {labels.shape} and y_pred {y_pred.shape}",
        )
    kept = jnp.ones(y_pred.shape[:2], bool) if mask is None else jnp.asarray(mask).astype(bool)
    label_paddings = (labels == BLANK).astype(y_pred.dtype)
    logit_paddings = 1.0 - kept.astype(y_pred.dtype)
    return optax.ctc_loss(y_pred, logit_paddings, labels, label_paddings, blank_id=BLANK)


class CTC(Loss):
    """Minus the log-probability of the labels, for outputs that are logits of each step.

    The mask of the outputs says how long each sequence is. (Keras takes every step, and fails on a
    mask.)

    Args:
        reduction: as in `Loss`.
        name: as in `Loss`.
        dtype: as in `Loss`.
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "ctc",
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Array, y_pred: Array) -> Array:
        return ctc(y_true, y_pred)

    def _kgraph_terms(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        rows: ArrayLike | None = None,
    ) -> Terms:
        values, mask = self._values_under(y_true, y_pred, mask)
        return reducing.terms(values, sample_weight, mask, rows, self.reduction)

    def __call__(
        self,
        y_true: Any,
        y_pred: Any,
        sample_weight: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> Array:
        values, mask = self._values_under(y_true, y_pred, mask)
        return reducing.reduce(values, sample_weight, mask, self.reduction)

    def _values_under(self, y_true: Array, y_pred: Array, mask: Any) -> tuple[Array, Array | None]:
        """Returns the loss of each row, and the mask of rows; a mask of steps has done its work."""
        if mask is None or jnp.ndim(mask) < 2:
            return self._kgraph_values(y_true, y_pred)[0], combine_masks(mask, None)
        return self._kgraph_widen(ctc(y_true, self._kgraph_widen(y_pred), mask)), None

    def _kgraph_check_labels(self, y_true: np.ndarray, output_shape: Shape) -> None:
        check_numbers(self.name, y_true)
        y_true = np.asarray(y_true)
        if y_true.ndim != 2:
            return  # `ctc` says what is wrong
        classes, time = output_shape[-1], output_shape[1]
        used = y_true != BLANK
        if classes is not None:
            unknown = (y_true < 0) | (y_true >= classes)
            self._refuse(unknown, "classes that the output does not have", f"1 to {classes - 1}")
        after = used & (np.cumsum(~used, axis=1) > 0)
        self._refuse(after, "labels after a 0, which ends a row", "0 at the end of rows only")
        if time is not None:
            twice = (used[:, 1:] & (y_true[:, 1:] == y_true[:, :-1])).sum(axis=1, keepdims=True)
            long = used.sum(axis=1, keepdims=True) + twice > time
            expected = f"at most {time} labels, with a step between equal ones"
            self._refuse(long, f"rows that do not fit into {time} steps", expected)

    def _refuse(self, wrong: np.ndarray, what: str, expected: str) -> None:
        if wrong.any():
            raise DataError(
                f"{self.name} met {what}", expected=expected, received=rows_where(wrong)
            )
