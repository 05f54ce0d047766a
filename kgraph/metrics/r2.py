"""The coefficient of determination."""

from __future__ import annotations

import jax.numpy as jnp

from kgraph.errors import ConfigError, DataError, check_choice
from kgraph.losses.alignment import divide_or_zero, fit_weights, paired
from kgraph.metrics.base import Metric
from kgraph.types import Array, ArrayLike, PolicyLike, Shape


class R2Score(Metric):
    """The part of the targets' variance that the outputs explain: 1 - residual / total.

    Shapes: targets and outputs `[batch, outputs]`.

    Args:
        class_aggregation: `"uniform_average"` over the outputs, `"variance_weighted_average"`, or
            None for one score for each output.
        num_regressors: the number of inputs, for the adjusted score; 0 leaves it unadjusted. With
            no more samples than that, the score is not adjusted either.
        name: as in `Metric`.
        dtype: as in `Metric`.
    """

    _direction = "up"
    squared_sum: Array
    sum: Array
    total_mse: Array
    count: Array
    num_samples: Array

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        known = (None, "uniform_average", "variance_weighted_average")
        check_choice("R2Score", "class_aggregation", class_aggregation, known)
        if num_regressors < 0:
            raise ConfigError(
                "R2Score needs `num_regressors` of at least 0", received=num_regressors
            )
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors
        self.add_total("num_samples")

    def build(self, y_true_shape: Shape, y_pred_shape: Shape) -> None:
        if len(y_pred_shape) != 2 or y_pred_shape[-1] is None:
            raise DataError("R2Score needs outputs [batch, outputs]", received=str(y_pred_shape))
        shape = (y_pred_shape[-1],)
        for name in ("squared_sum", "sum", "total_mse", "count"):
            self.add_total(name, shape)

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        y_true, y_pred = paired("r2_score", y_true, y_pred)
        self._kgraph_ensure_built(y_true.shape, y_pred.shape)
        weights = jnp.ones_like(y_true)
        if sample_weight is not None:
            weights = jnp.asarray(sample_weight).astype(y_true.dtype)
            weights = jnp.broadcast_to(fit_weights(y_true, weights)[1], y_true.shape)
        self.accumulate(
            sum=jnp.sum(y_true * weights, 0),
            squared_sum=jnp.sum(jnp.square(y_true) * weights, 0),
            total_mse=jnp.sum(jnp.square(y_true - y_pred) * weights, 0),
            count=jnp.sum(weights, 0),
            num_samples=jnp.asarray(y_true.size, y_true.dtype),
        )

    def result(self) -> Array:
        total = self.squared_sum - self.sum * divide_or_zero(self.sum, self.count)
        scores = 1.0 - self.total_mse / total
        scores = jnp.where(self.count == 0, 0.0, scores)
        scores = jnp.where(jnp.isinf(scores), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            scores = jnp.mean(scores)
        elif self.class_aggregation == "variance_weighted_average":
            scores = divide_or_zero(jnp.sum(total * scores), jnp.sum(total))
        if self.num_regressors == 0:
            return scores
        spare = jnp.asarray(self.num_samples) - self.num_regressors - 1.0
        adjusted = 1.0 - (1.0 - scores) * (self.num_samples - 1.0) / jnp.maximum(spare, 1e-7)
        return jnp.where(spare > 0, adjusted, scores)
