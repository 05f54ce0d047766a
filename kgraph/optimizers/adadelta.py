"""Adadelta."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from kgraph.optimizers.learning_rate import LearningRate
from kgraph.optimizers.optimizer import Optimizer
from kgraph.optimizers.options import Options
from kgraph.optimizers.per_parameter import scale_by_rate
from kgraph.types import Array

if TYPE_CHECKING:
    from optax import GradientTransformation


class Adadelta(Optimizer, elementwise=True):
    """Scales the gradient by the ratio of the sizes of past steps and past gradients.

    Args:
        learning_rate: see `Optimizer`, also for the `options`. The paper's is 1.
        rho: how much of the two averages stays at each update.
        epsilon: added inside both roots.

    Source: Zeiler, "ADADELTA", arXiv:1212.5701.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho, self.epsilon = rho, epsilon

    def transformation(self, learning_rate: Array) -> GradientTransformation:
        import optax

        return optax.chain(
            optax.scale_by_adadelta(self.rho, self.epsilon), scale_by_rate(learning_rate)
        )
