"""Adagrad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from kgraph.optimizers.learning_rate import LearningRate
from kgraph.optimizers.optimizer import Optimizer
from kgraph.optimizers.options import Options
from kgraph.optimizers.per_parameter import scale_by_rate
from kgraph.types import Array

if TYPE_CHECKING:
    from optax import GradientTransformation


class Adagrad(Optimizer, elementwise=True):
    """Divides the gradient by the root of the sum of its squares so far.

    Args:
        learning_rate: see `Optimizer`, also for the `options`.
        initial_accumulator_value: what the sum starts from.
        epsilon: added to the sum inside the root.

    Source: Duchi et al., "Adaptive subgradient methods for online learning", JMLR 12 (2011).
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def transformation(self, learning_rate: Array) -> GradientTransformation:
        import optax

        return optax.chain(
            optax.scale_by_rss(self.initial_accumulator_value, self.epsilon),
            scale_by_rate(learning_rate),
        )
