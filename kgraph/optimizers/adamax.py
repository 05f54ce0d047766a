"""Adamax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import jax.numpy as jnp

from kgraph.optimizers.adam import zero_slots
from kgraph.optimizers.learning_rate import LearningRate
from kgraph.optimizers.optimizer import Optimizer
from kgraph.optimizers.options import Options
from kgraph.optimizers.per_parameter import Slots, per_parameter
from kgraph.types import Array

if TYPE_CHECKING:
    from optax import GradientTransformation


class Adamax(Optimizer, elementwise=True):
    """Adam with a decaying maximum of the gradient's size in the place of its mean square.

    Args:
        learning_rate: see `Optimizer`, also for the `options`.
        beta_1: how much of the average of the gradient stays at each update.
        beta_2: how much of the maximum stays.
        epsilon: added to the maximum. (`optax.adamax` adds it to the gradient inside.)

    Source: Kingma and Ba, "Adam", arXiv:1412.6980, section 7.1.
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
        def formula(gradient: Array, _: Array, slots: Slots, t: Array) -> tuple[Array, Slots]:
            m = slots["momentum"] + (gradient - slots["momentum"]) * (1 - self.beta_1)
            u = jnp.maximum(self.beta_2 * slots["norm"], jnp.abs(gradient))
            rate = learning_rate / (1 - jnp.power(self.beta_1, t))
            change = -(rate.astype(m.dtype) * m) / (u + self.epsilon)
            return change, {"momentum": m, "norm": u}

        return per_parameter(zero_slots("momentum", "norm"), formula)
