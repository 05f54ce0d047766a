"""The area under the ROC, precision-recall or precision-recall-gain curve."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from kgraph import config
from kgraph.errors import ConfigError, DataError, check_choice
from kgraph.losses.alignment import divide_or_zero, wide
from kgraph.metrics.base import Metric
from kgraph.metrics.thresholds import Counts, count, decisions, even_thresholds, parse_thresholds
from kgraph.types import Array, ArrayLike, PolicyLike, Shape

_CURVES = ("ROC", "PR", "PRGAIN")
_SUMMATIONS = ("interpolation", "minoring", "majoring")


class AUC(Metric):
    """The area under a curve of decisions over all thresholds, approximated by a sum.

    Args:
        num_thresholds: at how many thresholds the curve is known; unused with `thresholds`.
        curve: `"ROC"`, `"PR"` or `"PRGAIN"`.
        summation_method: `"interpolation"` (trapezes; for PR the interpolation of Davis and
            Goadrich), `"minoring"` (from below) or `"majoring"` (from above).
        name: as in `Metric`.
        dtype: as in `Metric`.
        thresholds: thresholds in [0, 1] instead of `num_thresholds` even ones; the ends are added.
        multi_label: whether each label of `[batch, labels]` has a curve of its own; the result is
            the mean of their areas. Otherwise all elements make one curve.
        num_labels: the number of labels, if `multi_label`; by default taken from the outputs.
        label_weights: weights of the labels in that mean, or in the one curve.
        from_logits: whether outputs are logits.

    Source: Davis and Goadrich, "The Relationship Between Precision-Recall and ROC Curves", 2006;
        Flach and Kull, "Precision-Recall-Gain Curves", 2015.
    """

    _direction = "up"

    def __init__(
        self,
        num_thresholds: int | None = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: PolicyLike | None = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name=name or "auc", dtype=dtype)
        self.curve, self.summation_method = str(curve).upper(), str(summation_method).lower()
        check_choice("AUC", "curve", self.curve, _CURVES)
        check_choice("AUC", "summation_method", self.summation_method, _SUMMATIONS)
        if thresholds is None:
            inner = even_thresholds("AUC", num_thresholds, least=2)[1:-1]
        else:
            inner = sorted(parse_thresholds("AUC", thresholds, 0.5))
        # The ends lie just outside, so that scores of exactly 0 and 1 are in the sum.
        self.thresholds = [-config.epsilon(), *inner, 1.0 + config.epsilon()]
        self.num_thresholds = len(self.thresholds)
        self.multi_label, self.from_logits = multi_label, from_logits
        self.label_weights = None if label_weights is None else np.asarray(label_weights, "float32")
        if num_labels and not multi_label:
            raise ConfigError("AUC takes `num_labels` only with multi_label=True")
        if num_labels or not multi_label:
            self._kgraph_ensure_built((), (None, num_labels))

    def build(self, y_true_shape: Shape, y_pred_shape: Shape) -> None:
        shape: tuple[int, ...] = (len(self.thresholds),)
        if self.multi_label:
            if len(y_pred_shape) != 2 or y_pred_shape[-1] is None:
                raise DataError(
                    "AUC with multi_label=True needs outputs [batch, labels]",
                    received=str(y_pred_shape),
                )
            shape = (*shape, y_pred_shape[-1])
        for name in Counts._fields:
            self.add_total(name, shape)

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        y_pred = wide(y_pred)
        self._kgraph_ensure_built((), y_pred.shape)
        y_pred = jax.nn.sigmoid(y_pred) if self.from_logits else jnp.clip(y_pred, 0.0, 1.0)
        positive, scores, weights = decisions(self.name, y_true, y_pred, sample_weight)
        if self.multi_label:
            one_label = partial(count, thresholds=self.thresholds)
            counts = jax.vmap(one_label, in_axes=1, out_axes=1)(positive, scores, weights)
        else:
            if self.label_weights is not None:
                labels = jnp.asarray(self.label_weights, weights.dtype)
                weights = weights * jnp.broadcast_to(labels, weights.shape)
            counts = count(positive, scores, weights, self.thresholds)
        self.accumulate(**counts._asdict())

    def result(self) -> Array:
        counts = Counts(*(jnp.asarray(getattr(self, name)) for name in Counts._fields))
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._mean_of_labels(jnp.sum(_pr_increments(counts), axis=0))
        x, y = _CURVE_POINTS[self.curve](counts)
        heights = {
            "interpolation": (y[:-1] + y[1:]) / 2.0,
            "minoring": jnp.minimum(y[:-1], y[1:]),
            "majoring": jnp.maximum(y[:-1], y[1:]),
        }[self.summation_method]
        return self._mean_of_labels(jnp.sum((x[:-1] - x[1:]) * heights, axis=0))

    def _mean_of_labels(self, areas: Array) -> Array:
        if not self.multi_label:
            return areas
        if self.label_weights is None:
            return jnp.mean(areas)
        weights = jnp.asarray(self.label_weights, areas.dtype)
        return divide_or_zero(jnp.sum(areas * weights), jnp.sum(weights))


def _roc_points(c: Counts) -> tuple[Array, Array]:
    alarms = divide_or_zero(c.false_positives, c.false_positives + c.true_negatives)
    return alarms, divide_or_zero(c.true_positives, c.true_positives + c.false_negatives)


def _pr_points(c: Counts) -> tuple[Array, Array]:
    recall = divide_or_zero(c.true_positives, c.true_positives + c.false_negatives)
    return recall, divide_or_zero(c.true_positives, c.true_positives + c.false_positives)


def _pr_gain_points(c: Counts) -> tuple[Array, Array]:
    odds = divide_or_zero(
        c.true_positives + c.false_negatives, c.true_negatives + c.false_positives
    )
    recall = 1.0 - odds * divide_or_zero(c.false_negatives, c.true_positives)
    precision = 1.0 - odds * divide_or_zero(c.false_positives, c.true_positives)
    none = c.true_positives == 0
    return jnp.maximum(jnp.where(none, 0.0, recall), 0.0), jnp.where(none, 1.0, precision)


_CURVE_POINTS = {"ROC": _roc_points, "PR": _pr_points, "PRGAIN": _pr_gain_points}


def _pr_increments(c: Counts) -> Array:
    """Returns the area between neighbouring thresholds, with hits linear in decisions there."""
    decided = c.true_positives + c.false_positives
    hits = c.true_positives[:-1] - c.true_positives[1:]
    slope = divide_or_zero(hits, jnp.maximum(decided[:-1] - decided[1:], 0.0))
    intercept = c.true_positives[1:] - slope * decided[1:]
    both = (decided[:-1] > 0) & (decided[1:] > 0)
    ratio = jnp.where(both, divide_or_zero(decided[:-1], decided[1:]), 1.0)
    positives = c.true_positives[1:] + c.false_negatives[1:]
    return divide_or_zero(slope * (hits + intercept * jnp.log(ratio)), positives)
