"""RMSprop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from kgraph.optimizers.learning_rate import LearningRate
from kgraph.optimizers.optimizer import Optimizer
from kgraph.optimizers.options import Options
from kgraph.optimizers.per_parameter import scale_by_rate
from kgraph.types import Array

if TYPE_CHECKING:
    from optax import GradientTransformation


class RMSprop(Optimizer, elementwise=True):
    """Divides the gradient by the root of a moving average of its square.

    Args:
        learning_rate: see `Optimizer`, also for the `options`.
        rho: how much of the average stays at each update.
        momentum: how much of the last step is added to the next.
        epsilon: added to the average inside the root.
        centered: whether to divide by the standard deviation of the gradient instead.

    Source: Hinton, "Neural networks for machine learning", lecture 6; centred: Graves, "Generating
    sequences with recurrent neural networks", arXiv:1308.0850.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho, self.momentum = rho, momentum
        self.epsilon, self.centered = epsilon, centered

    def transformation(self, learning_rate: Array) -> GradientTransformation:
        import optax

        scale = optax.scale_by_stddev if self.centered else optax.scale_by_rms
        steps = [scale(self.rho, eps=self.epsilon), scale_by_rate(learning_rate)]
        if self.momentum > 0:
            steps.append(optax.trace(self.momentum))
        return optax.chain(*steps)
