"""Metrics of binary decisions: counts, precision and recall, and one at a given other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax.numpy as jnp

from kgraph.losses.alignment import divide_or_zero
from kgraph.metrics.base import Metric
from kgraph.metrics.thresholds import (
    NEVER,
    Counts,
    count,
    decisions,
    parse_thresholds,
)
from kgraph.types import Array, ArrayLike, PolicyLike

Thresholds = float | Sequence[float] | None


class ConfusionMetric(Metric):
    """What these metrics share: some of the four counts, for each threshold."""

    counted: ClassVar[tuple[str, ...]] = Counts._fields
    top_k: int | None = None
    class_id: int | None = None
    thresholds: list[float]
    true_positives: Array
    false_positives: Array
    true_negatives: Array
    false_negatives: Array

    def _declare(self, thresholds: list[float]) -> None:
        self.thresholds = thresholds
        for name in self.counted:
            self.add_total(name, (len(thresholds),))

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        seen = decisions(self.name, y_true, y_pred, sample_weight, self.top_k, self.class_id)
        counts = count(*seen, self.thresholds)._asdict()
        self.accumulate(**{name: counts[name] for name in self.counted})

    def _ratio(self, hits: str, others: str) -> Array:
        """Returns hits / (hits + others) for each threshold, 0 where there are neither."""
        found = jnp.asarray(getattr(self, hits))
        return divide_or_zero(found, found + getattr(self, others))

    def _single(self, values: Any) -> Array:
        values = jnp.asarray(values)
        return values[0] if len(self.thresholds) == 1 else values


class _Count(ConfusionMetric):
    def __init__(
        self,
        thresholds: Thresholds = None,
        name: str | None = None,
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self._declare(parse_thresholds(type(self).__name__, thresholds, 0.5))

    def result(self) -> Array:
        return self._single(getattr(self, self.counted[0]))


class TruePositives(_Count):
    """How many positives were called positive, at each threshold (0.5 by default)."""

    counted = ("true_positives",)


class TrueNegatives(_Count):
    """How many negatives were called negative, at each threshold (0.5 by default)."""

    counted = ("true_negatives",)


class FalsePositives(_Count):
    """How many negatives were called positive, at each threshold (0.5 by default)."""

    counted = ("false_positives",)


class FalseNegatives(_Count):
    """How many positives were called negative, at each threshold (0.5 by default)."""

    counted = ("false_negatives",)


class _Share(ConfusionMetric):
    """A share of the true positives."""

    _direction = "up"

    def __init__(
        self,
        thresholds: Thresholds = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.top_k, self.class_id = top_k, class_id
        default = 0.5 if top_k is None else NEVER
        self._declare(parse_thresholds(type(self).__name__, thresholds, default))

    def result(self) -> Array:
        return self._single(self._ratio(*self.counted))


class Precision(_Share):
    """How many of the positive decisions are right.

    Args:
        thresholds: one or several in [0, 1]; 0.5 by default. An output above is called positive.
        top_k: the decision is positive for the `top_k` largest outputs of a row (above the
            thresholds, if there are any).
        class_id: looks at this index of the last axis alone.
        name: as in `Metric`.
        dtype: as in `Metric`.
    """

    counted = ("true_positives", "false_positives")


class Recall(_Share):
    """How many of the positives are found.

    Args:
        thresholds: one or several in [0, 1]; 0.5 by default. An output above is called positive.
        top_k: the decision is positive for the `top_k` largest outputs of a row (above the
            thresholds, if there are any).
        class_id: looks at this index of the last axis alone.
        name: as in `Metric`.
        dtype: as in `Metric`.
    """

    counted = ("true_positives", "false_negatives")
