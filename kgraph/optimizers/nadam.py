"""Adam with Nesterov momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import jax.numpy as jnp

from kgraph.optimizers.adam import moments, zero_slots
from kgraph.optimizers.learning_rate import LearningRate
from kgraph.optimizers.optimizer import Optimizer
from kgraph.optimizers.options import Options
from kgraph.optimizers.per_parameter import Formula, Slots, per_parameter
from kgraph.optimizers.state import one_more
from kgraph.types import Array

if TYPE_CHECKING:
    from optax import GradientTransformation


class NadamState(NamedTuple):
    """The product of all momentum factors so far (float32 scalar), and the two moving averages."""

    u_product: Array
    moments: Any


class Nadam(Optimizer, elementwise=True):
    """Adam that looks ahead along its momentum, which grows over the first updates.

    The momentum of update t is `beta_1 * (1 - 0.5 * 0.96**t)`; `optax.nadam` keeps it constant.

    Args:
        learning_rate: see `Optimizer`, also for the `options`.
        beta_1: how much of the average of the gradient stays at each update.
        beta_2: how much of the average of the square stays.
        epsilon: added to the root.

    Source: Dozat, "Incorporating Nesterov momentum into Adam" (2016).
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

        make_slots = zero_slots("momentum", "velocity")

        def init(params: Any) -> NadamState:
            one = jnp.ones([], jnp.float32)
            return NadamState(one, per_parameter(make_slots, self._formula(one, one)).init(params))

        def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, NadamState]:
            t = one_more(state.moments.count).astype(jnp.float32)
            product = state.u_product * self._momentum(t)
            rule = per_parameter(make_slots, self._formula(learning_rate, product))
            changes, after = rule.update(updates, state.moments, params)
            return changes, NadamState(product, after)

        return optax.GradientTransformation(init, update)

    def _momentum(self, t: Array) -> Array:
        return self.beta_1 * (1 - 0.5 * jnp.power(0.96, t))

    def _formula(self, learning_rate: Array, product: Array) -> Formula:
        def formula(gradient: Array, _: Array, slots: Slots, t: Array) -> tuple[Array, Slots]:
            m, v = moments(gradient, slots, self.beta_1, self.beta_2)
            now, next_ = self._momentum(t), self._momentum(t + 1)
            of_average = (next_ / (1 - product * next_)).astype(m.dtype)
            of_gradient = ((1 - now) / (1 - product)).astype(m.dtype)
            v_hat = v / (1 - jnp.power(self.beta_2, t)).astype(v.dtype)
            ahead = of_average * m + of_gradient * gradient
            change = -(ahead * learning_rate.astype(m.dtype)) / (jnp.sqrt(v_hat) + self.epsilon)
            return change, {"momentum": m, "velocity": v}

        return formula
