"""Margin losses as metrics."""

from __future__ import annotations

from kgraph import losses
from kgraph.metrics.reduction import MeanMetricWrapper
from kgraph.types import PolicyLike


class Hinge(MeanMetricWrapper):
    """The mean of `max(0, 1 - y_true * y_pred)`."""

    _direction = "down"

    def __init__(self, name: str = "hinge", dtype: PolicyLike | None = None) -> None:
        super().__init__(losses.hinge, name, dtype)


class SquaredHinge(MeanMetricWrapper):
    """The mean of `max(0, 1 - y_true * y_pred)²`."""

    _direction = "down"

    def __init__(self, name: str = "squared_hinge", dtype: PolicyLike | None = None) -> None:
        super().__init__(losses.squared_hinge, name, dtype)


class CategoricalHinge(MeanMetricWrapper):
    """The mean margin between the right class and the best wrong one."""

    _direction = "down"

    def __init__(self, name: str = "categorical_hinge", dtype: PolicyLike | None = None) -> None:
        super().__init__(losses.categorical_hinge, name, dtype)
