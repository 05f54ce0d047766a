"""Schedule-free Adam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import jax.numpy as jnp

from kgraph.optimizers.learning_rate import LearningRate
from kgraph.optimizers.optimizer import Optimizer
from kgraph.optimizers.options import Options
from kgraph.optimizers.per_parameter import Slots, per_parameter, zeros_like
from kgraph.types import Array

if TYPE_CHECKING:
    from optax import GradientTransformation


class ScheduleFreeAdamW(Optimizer):
    """Adam on a hidden sequence whose running mean needs no learning rate schedule.

    The parameters are the point between the two where gradients are taken; the slot `momentum`,
    named as in Keras, is the hidden sequence.

    Args:
        learning_rate: see `Optimizer`, also for the `options`.
        beta_1: the share of the running mean in the parameters; above 0.
        beta_2: how much of the average of the squared gradient stays at each update.
        epsilon: added to the root.
        warmup_steps: updates over which the rate rises linearly from 0.

    Source: Defazio et al., "The road less scheduled", arXiv:2405.15682; the mean is uniform.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.warmup_steps = warmup_steps

    def transformation(self, learning_rate: Array) -> GradientTransformation:
        def formula(gradient: Array, y: Array, slots: Slots, t: Array) -> tuple[Array, Slots]:
            rate = learning_rate
            if self.warmup_steps > 0:
                rate = rate * jnp.minimum(t / self.warmup_steps, 1)
            z, v = slots["momentum"], slots["velocity"]
            v = v + (jnp.square(gradient) - v) * (1 - self.beta_2)
            root = jnp.sqrt(v / (1 - jnp.power(self.beta_2, t)).astype(v.dtype)) + self.epsilon
            new_z = z - rate.astype(y.dtype) * gradient / root
            mean = (y - (1 - self.beta_1) * z) / self.beta_1
            share = (1 / t).astype(y.dtype)
            mean = (1 - share) * mean + share * new_z
            new_y = (1 - self.beta_1) * new_z + self.beta_1 * mean
            return new_y - y, {"momentum": new_z, "velocity": v}

        return per_parameter(_make_slots, formula)


def _make_slots(parameter: Array) -> Slots:
    return {"momentum": jnp.copy(parameter), "velocity": zeros_like(parameter)}
