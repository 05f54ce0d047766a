"""Adafactor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import jax.numpy as jnp

from kgraph.optimizers.learning_rate import LearningRate
from kgraph.optimizers.optimizer import Optimizer
from kgraph.optimizers.options import Options
from kgraph.optimizers.per_parameter import Slots, per_parameter
from kgraph.types import Array

if TYPE_CHECKING:
    from optax import GradientTransformation


class Adafactor(Optimizer):
    """Adam without momentum that keeps only the row and column means of the squared gradients.

    Parameters of two or more axes are factored over the last two; the others keep a full average.
    `optax.adafactor` factors the two largest axes, and only those of at least 128.

    Args:
        learning_rate: see `Optimizer`, also for the `options`. The rate of update t is at most
            `1 / sqrt(t)`, and relative to the size of each parameter.
        beta_2_decay: the average of update t keeps `1 - t ** beta_2_decay` of itself.
        epsilon_1: added to the squared gradient.
        epsilon_2: the least size of a parameter.
        clip_threshold: the largest root mean square of a step before the rate is applied.
        relative_step: accepted as in Keras, where it changes nothing either: the bound by
            `1 / sqrt(t)` is there in both cases.

    Source: Shazeer and Stern, "Adafactor", arXiv:1804.04235, algorithms 4 and 5.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_2_decay = beta_2_decay
        self.epsilon_1, self.epsilon_2 = epsilon_1, epsilon_2
        self.clip_threshold, self.relative_step = clip_threshold, relative_step

    def transformation(self, learning_rate: Array) -> GradientTransformation:
        def formula(gradient: Array, w: Array, slots: Slots, t: Array) -> tuple[Array, Slots]:
            kept = (1 - jnp.power(t, self.beta_2_decay)).astype(w.dtype)
            square = jnp.square(gradient) + self.epsilon_1
            slots = {
                name: kept * mean + (1 - kept) * _reduced(square, name)
                for name, mean in slots.items()
            }
            step = gradient / jnp.sqrt(_velocity(slots))
            step = step / jnp.maximum(_rms(step) / self.clip_threshold, 1)
            rate = jnp.minimum(learning_rate, 1 / jnp.sqrt(t)).astype(w.dtype)
            return -(jnp.maximum(_rms(w), self.epsilon_2) * rate * step), slots

        return per_parameter(_make_slots, formula)


def _make_slots(parameter: Array) -> Slots:
    names = ("row", "column") if parameter.ndim >= 2 else ("velocity",)
    return {name: jnp.zeros_like(_reduced(parameter, name)) for name in names}


def _reduced(square: Array, name: str) -> Array:
    if name == "velocity":
        return square
    return jnp.mean(square, axis=-1 if name == "row" else -2)


def _velocity(slots: Slots) -> Array:
    """Returns the mean square of each element, rebuilt from row and column means."""
    if "velocity" in slots:
        return slots["velocity"]
    share = slots["row"] / jnp.mean(slots["row"], axis=-1, keepdims=True)
    return share[..., :, None] * slots["column"][..., None, :]


def _rms(x: Array) -> Array:
    return jnp.sqrt(jnp.mean(jnp.square(x)))
