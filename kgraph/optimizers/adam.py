"""Adam, and its formula."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import jax.numpy as jnp

from kgraph.optimizers.learning_rate import LearningRate
from kgraph.optimizers.optimizer import Optimizer
from kgraph.optimizers.options import Options
from kgraph.optimizers.per_parameter import Formula, MakeSlots, Slots, per_parameter, zeros_like
from kgraph.types import Array

if TYPE_CHECKING:
    from optax import GradientTransformation


class Adam(Optimizer, elementwise=True):
    """Divides a moving average of the gradient by the root of one of its square.

    Args:
        learning_rate: see `Optimizer`, also for the `options`.
        beta_1: how much of the average of the gradient stays at each update.
        beta_2: how much of the average of the square stays.
        epsilon: the paper's "epsilon hat", added to the root before its bias is corrected. It
            weighs more in the first steps than the epsilon of `optax.adam`.
        amsgrad: whether to divide by the largest average of the square so far.

    Source: Kingma and Ba, "Adam", arXiv:1412.6980, the form at the end of section 2; amsgrad: Reddi
    et al., "On the convergence of Adam and beyond", with the maximum taken before bias correction.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1, self.beta_2 = beta_1, beta_2
        self.epsilon, self.amsgrad = epsilon, amsgrad

    def transformation(self, learning_rate: Array) -> GradientTransformation:
        return scale_by_adam_hat(
            learning_rate, self.beta_1, self.beta_2, self.epsilon, amsgrad=self.amsgrad
        )


def scale_by_adam_hat(
    learning_rate: Array, beta_1: float, beta_2: float, epsilon: float, *, amsgrad: bool = False
) -> GradientTransformation:
    """Returns Adam with "epsilon hat" as an optax transformation, learning rate included."""
    names = ("momentum", "velocity", *(("velocity_hat",) if amsgrad else ()))
    return per_parameter(zero_slots(*names), _adam(learning_rate, beta_1, beta_2, epsilon))


def zero_slots(*names: str) -> MakeSlots:
    """Returns a maker of slots of the parameter's shape and dtype that start at zero."""
    return lambda parameter: {name: zeros_like(parameter) for name in names}


def moments(gradient: Array, slots: Slots, beta_1: float, beta_2: float) -> tuple[Array, Array]:
    """Returns the moving averages of the gradient and of its square, without bias correction."""
    m, v = slots["momentum"], slots["velocity"]
    return m + (gradient - m) * (1 - beta_1), v + (jnp.square(gradient) - v) * (1 - beta_2)


def _adam(learning_rate: Array, beta_1: float, beta_2: float, epsilon: float) -> Formula:
    def formula(gradient: Array, _: Array, slots: Slots, t: Array) -> tuple[Array, Slots]:
        m, v = moments(gradient, slots, beta_1, beta_2)
        after = {"momentum": m, "velocity": v}
        if "velocity_hat" in slots:
            v = after["velocity_hat"] = jnp.maximum(slots["velocity_hat"], v)
        rate = learning_rate * jnp.sqrt(1 - jnp.power(beta_2, t)) / (1 - jnp.power(beta_1, t))
        return -(m * rate.astype(m.dtype)) / (jnp.sqrt(v) + epsilon), after

    return formula
