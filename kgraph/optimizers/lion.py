"""Lion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from kgraph.errors import ConfigError
from kgraph.optimizers.learning_rate import LearningRate
from kgraph.optimizers.optimizer import Optimizer
from kgraph.optimizers.options import Options
from kgraph.optimizers.per_parameter import scale_by_rate
from kgraph.types import Array

if TYPE_CHECKING:
    from optax import GradientTransformation


class Lion(Optimizer, elementwise=True):
    """Steps by the sign of a mixture of the gradient and its moving average.

    Args:
        learning_rate: see `Optimizer`, also for the `options`. A step has this size in every
            element, so choose it 3 to 10 times smaller than for Adam.
        beta_1: the share of the average in the mixture; above 0, at most 1.
        beta_2: how much of the average stays at each update.

    Raises:
        ConfigError: if `beta_1` is out of range.

    Source: Chen et al., "Symbolic discovery of optimization algorithms", arXiv:2302.06675.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        if not 0 < beta_1 <= 1:
            raise ConfigError("Lion needs `beta_1` above 0 and at most 1", received=repr(beta_1))
        self.beta_1, self.beta_2 = beta_1, beta_2

    def transformation(self, learning_rate: Array) -> GradientTransformation:
        import optax

        return optax.chain(
            optax.scale_by_lion(self.beta_1, self.beta_2), scale_by_rate(learning_rate)
        )
