"""`FunctionLoss`: a loss that is one function of targets and outputs, without options."""

from __future__ import annotations

from typing import Any, ClassVar

from kgraph.losses.base import Loss, LossFunction
from kgraph.types import Array, PolicyLike


class FunctionLoss(Loss):
    """Computes `function` of targets and outputs, one value for each sample.

    A subclass sets the function. Its name in logs is by default the class name in snake case.
    """

    function: ClassVar[LossFunction]

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Array, y_pred: Array) -> Array:
        return type(self).function(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "name": self.name}
