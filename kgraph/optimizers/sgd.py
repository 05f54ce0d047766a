"""Stochastic gradient descent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from kgraph.checks import check_rate
from kgraph.optimizers.learning_rate import LearningRate
from kgraph.optimizers.optimizer import Optimizer
from kgraph.optimizers.options import Options
from kgraph.optimizers.per_parameter import scale_by_rate
from kgraph.types import Array

if TYPE_CHECKING:
    from optax import GradientTransformation


class SGD(Optimizer, elementwise=True):
    """Gradient descent, optionally with momentum.

    The learning rate is inside the velocity, `v = momentum * v - rate * gradient`, as in Keras.
    `optax.sgd` multiplies by it afterwards, which differs as soon as the rate changes.

    Args:
        learning_rate: see `Optimizer`, also for the `options`.
        momentum: from 0 to 1; how much of the velocity stays at each update.
        nesterov: whether to look ahead along the velocity.

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning".
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        check_rate("SGD", "momentum", momentum)
        self.momentum, self.nesterov = momentum, nesterov

    def transformation(self, learning_rate: Array) -> GradientTransformation:
        import optax

        descend = scale_by_rate(learning_rate)
        if not self.momentum:
            return descend
        return optax.chain(descend, optax.trace(self.momentum, self.nesterov))
