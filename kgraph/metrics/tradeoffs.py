"""The best of one share of right decisions at a given value of another."""

from __future__ import annotations

import jax.numpy as jnp

from kgraph.errors import ConfigError
from kgraph.metrics.confusion import ConfusionMetric
from kgraph.metrics.thresholds import even_thresholds
from kgraph.types import Array, PolicyLike


class _BestAt(ConfusionMetric):
    """The best of one share among the thresholds at which another reaches a value."""

    _direction = "up"

    def _start(self, option: str, value: float, num_thresholds: int, class_id: int | None) -> None:
        owner = type(self).__name__
        if not 0 <= value <= 1:
            raise ConfigError(f"{owner} needs `{option}` in [0, 1]", received=value)
        self.value, self.class_id = value, class_id
        self._declare(even_thresholds(owner, num_thresholds, least=1))

    def _best(self, wanted: Array, constrained: Array) -> Array:
        return jnp.max(jnp.where(constrained >= self.value, wanted, 0.0), initial=0.0)

    def _sensitivity(self) -> Array:
        return self._ratio("true_positives", "false_negatives")

    def _specificity(self) -> Array:
        return self._ratio("true_negatives", "false_positives")

    def _precision(self) -> Array:
        return self._ratio("true_positives", "false_positives")


class SensitivityAtSpecificity(_BestAt):
    """The best sensitivity where specificity is at least the given one."""

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self._start("specificity", specificity, num_thresholds, class_id)

    def result(self) -> Array:
        return self._best(self._sensitivity(), self._specificity())


class SpecificityAtSensitivity(_BestAt):
    """The best specificity where sensitivity is at least the given one."""

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self._start("sensitivity", sensitivity, num_thresholds, class_id)

    def result(self) -> Array:
        return self._best(self._specificity(), self._sensitivity())


class PrecisionAtRecall(_BestAt):
    """The best precision where recall is at least the given one."""

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self._start("recall", recall, num_thresholds, class_id)

    def result(self) -> Array:
        return self._best(self._precision(), self._sensitivity())


class RecallAtPrecision(_BestAt):
    """The best recall where precision is at least the given one."""

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self._start("precision", precision, num_thresholds, class_id)

    def result(self) -> Array:
        return self._best(self._sensitivity(), self._precision())
