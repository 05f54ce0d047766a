"""Follow the regularised leader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import jax.numpy as jnp

from kgraph.checks import check_not_negative
from kgraph.errors import ConfigError
from kgraph.optimizers.learning_rate import LearningRate
from kgraph.optimizers.optimizer import Optimizer
from kgraph.optimizers.options import Options
from kgraph.optimizers.per_parameter import Slots, per_parameter, zeros_like
from kgraph.types import Array

if TYPE_CHECKING:
    from optax import GradientTransformation


class Ftrl(Optimizer, elementwise=True):
    """Solves at each update for the parameters that would have done best so far.

    With an L1 strength many parameters become exactly zero: it was made for wide linear models.

    Args:
        learning_rate: see `Optimizer`, also for the `options`. Above zero.
        learning_rate_power: at most 0; how the rate falls with the sum of squared gradients.
        initial_accumulator_value: at least 0; what that sum starts from.
        l1_regularization_strength: at least 0.
        l2_regularization_strength: at least 0.
        l2_shrinkage_regularization_strength: at least 0; an L2 penalty on the gradient alone.
        beta: the paper's beta, which adds to the L2 strength.

    Raises:
        ConfigError: if one of these is out of range.

    Source: McMahan et al., "Ad click prediction: a view from the trenches" (2013), algorithm 1.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        if learning_rate_power > 0:
            raise ConfigError("Ftrl needs `learning_rate_power` <= 0", received=learning_rate_power)
        not_negative = {
            "initial_accumulator_value": initial_accumulator_value,
            "l1_regularization_strength": l1_regularization_strength,
            "l2_regularization_strength": l2_regularization_strength,
            "l2_shrinkage_regularization_strength": l2_shrinkage_regularization_strength,
        }
        for option, value in not_negative.items():
            check_not_negative("Ftrl", option, value)
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta

    def transformation(self, learning_rate: Array) -> GradientTransformation:
        l1, shrinkage = self.l1_regularization_strength, self.l2_shrinkage_regularization_strength

        def make_slots(parameter: Array) -> Slots:
            accumulator = jnp.full_like(parameter, self.initial_accumulator_value)
            return {"accumulator": accumulator, "linear": zeros_like(parameter)}

        def formula(gradient: Array, w: Array, slots: Slots, _: Array) -> tuple[Array, Slots]:
            rate = learning_rate.astype(w.dtype)
            l2 = self.l2_regularization_strength + self.beta / (2 * rate)
            total = slots["accumulator"] + jnp.square(gradient)
            before = jnp.power(slots["accumulator"], -self.learning_rate_power)
            after = jnp.power(total, -self.learning_rate_power)
            shrunk = gradient + 2 * shrinkage * w
            linear = slots["linear"] + shrunk - (after - before) / rate * w
            solution = (jnp.clip(linear, -l1, l1) - linear) / (after / rate + 2 * l2)
            return solution - w, {"accumulator": total, "linear": linear}

        return per_parameter(make_slots, formula)
