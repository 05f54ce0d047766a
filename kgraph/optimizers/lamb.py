"""LAMB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import jax.numpy as jnp

from kgraph.optimizers.adam import moments, zero_slots
from kgraph.optimizers.learning_rate import LearningRate
from kgraph.optimizers.optimizer import Optimizer
from kgraph.optimizers.options import Options
from kgraph.optimizers.per_parameter import Slots, per_parameter, scale_by_rate
from kgraph.types import Array

if TYPE_CHECKING:
    from optax import GradientTransformation


class Lamb(Optimizer):
    """Adam whose step in each parameter has the size of the parameter, for very large batches.

    Weight decay stays outside the ratio of sizes; in `optax.lamb` it is inside.

    Args:
        learning_rate: see `Optimizer`, also for the `options`.
        beta_1: how much of the average of the gradient stays at each update.
        beta_2: how much of the average of the square stays.
        epsilon: added to the root.

    Source: You et al., "Large batch optimization for deep learning", arXiv:1904.00962.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def transformation(self, learning_rate: Array) -> GradientTransformation:
        import optax

        # Not optax.scale_by_adam, which fails under strict dtype promotion (optax 0.2.8).
        adam = per_parameter(zero_slots("momentum", "velocity"), self._direction)
        return optax.chain(adam, optax.scale_by_trust_ratio(), scale_by_rate(learning_rate))

    def _direction(self, gradient: Array, _: Array, slots: Slots, t: Array) -> tuple[Array, Slots]:
        m, v = moments(gradient, slots, self.beta_1, self.beta_2)
        m_hat = m / (1 - jnp.power(self.beta_1, t)).astype(m.dtype)
        v_hat = v / (1 - jnp.power(self.beta_2, t)).astype(v.dtype)
        return m_hat / (jnp.sqrt(v_hat) + self.epsilon), {"momentum": m, "velocity": v}
