"""F scores: a mean of precision and recall for each class."""

from __future__ import annotations

import jax.numpy as jnp

from kgraph import config
from kgraph.errors import ConfigError, DataError, check_choice
from kgraph.losses.alignment import fit_weights, paired
from kgraph.metrics.base import Metric
from kgraph.types import Array, ArrayLike, PolicyLike, Shape

_SUMS = ("true_positives", "false_positives", "false_negatives", "intermediate_weights")


class FBetaScore(Metric):
    """The weighted harmonic mean of precision and recall: recall weighs `beta` times as much.

    Shapes: targets (one-hot or multi-hot) and outputs `[batch, classes]`.

    Args:
        average: None (a score for each class), `"micro"` (one score over all decisions), `"macro"`
            (the mean of the classes) or `"weighted"` (weighted by their frequency).
        beta: the weight of recall.
        threshold: an output above is a positive decision; None takes the largest of a row.
        name: as in `Metric`.
        dtype: as in `Metric`.
    """

    _direction = "up"
    true_positives: Array
    false_positives: Array
    false_negatives: Array
    intermediate_weights: Array

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str = "fbeta_score",
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        owner = type(self).__name__
        check_choice(owner, "average", average, (None, "micro", "macro", "weighted"))
        if not beta > 0:
            raise ConfigError(f"{owner} needs a positive `beta`", received=beta)
        if threshold is not None and not 0 < threshold <= 1:
            raise ConfigError(f"{owner} needs `threshold` in (0, 1]", received=threshold)
        self.average, self.beta, self.threshold = average, float(beta), threshold

    def build(self, y_true_shape: Shape, y_pred_shape: Shape) -> None:
        if len(y_pred_shape) != 2 or y_pred_shape[-1] is None:
            raise DataError(
                f"{type(self).__name__} needs outputs [batch, classes]", received=str(y_pred_shape)
            )
        for name in _SUMS:
            self.add_total(name, () if self.average == "micro" else (y_pred_shape[-1],))

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        y_true, y_pred = paired(self.name, y_true, y_pred, "one-hot targets")
        self._kgraph_ensure_built(y_true.shape, y_pred.shape)
        if self.threshold is None:
            best = jnp.max(y_pred, axis=-1, keepdims=True)
            decided = (y_pred >= best) & (jnp.abs(y_pred) > 1e-9)
        else:
            decided = y_pred > self.threshold
        decided = decided.astype(y_pred.dtype)
        weights = jnp.ones_like(y_pred)
        if sample_weight is not None:
            given = jnp.asarray(sample_weight).astype(y_pred.dtype)
            weights = jnp.broadcast_to(fit_weights(y_pred, given)[1], y_pred.shape)
        axis = None if self.average == "micro" else 0
        self.accumulate(
            true_positives=jnp.sum(decided * y_true * weights, axis),
            false_positives=jnp.sum(decided * (1.0 - y_true) * weights, axis),
            false_negatives=jnp.sum((1.0 - decided) * y_true * weights, axis),
            intermediate_weights=jnp.sum(y_true * weights, axis),
        )

    def result(self) -> Array:
        eps, square = config.epsilon(), self.beta**2
        hits = jnp.asarray(self.true_positives)
        precision = hits / (hits + self.false_positives + eps)
        recall = hits / (hits + self.false_negatives + eps)
        score = (1.0 + square) * precision * recall / (square * precision + recall + eps)
        if self.average == "weighted":
            frequency = self.intermediate_weights / (jnp.sum(self.intermediate_weights) + eps)
            return jnp.sum(score * frequency)
        return score if self.average is None else jnp.mean(score)


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall.

    Args:
        average: as in `FBetaScore`.
        threshold: as in `FBetaScore`.
        name: as in `Metric`.
        dtype: as in `Metric`.
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str = "f1_score",
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)
