"""Any optax transformation as an optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import jax
import jax.numpy as jnp

from kgraph.errors import ConfigError
from kgraph.optimizers.learning_rate import LearningRateError
from kgraph.optimizers.optimizer import Optimizer
from kgraph.optimizers.state import OptimizerState, one_more
from kgraph.types import Array, Tree


class OptaxOptimizer(Optimizer):
    """An optimizer whose updates are exactly those of an optax transformation.

    Its learning rate can be read and set if it was made with `optax.inject_hyperparams`. Where
    several parts were, the first is read and all are set.

    >>> import optax
    >>> optimizer = OptaxOptimizer(optax.inject_hyperparams(optax.adam)(learning_rate=0.5))
    >>> optimizer.learning_rate
    0.5

    Args:
        transformation: an optax `GradientTransformation`.
        name: how the optimizer is called in messages.
    """

    def __init__(self, transformation: Any, name: str | None = None) -> None:
        self._transformation = transformation
        rates = _learning_rates(_state_without_parameters(transformation))
        super().__init__(float(rates[0]) if rates else 0.0, name=name)
        self._adjustable, self._was_set = bool(rates), False

    def transformation(self, learning_rate: Array) -> Any:
        """Returns the transformation, which has a learning rate of its own."""
        return self._transformation

    def init(self, params: Tree) -> OptimizerState:
        """Returns the state before the first update of `params`."""
        state = OptimizerState(jnp.zeros([], jnp.int32), self._transformation.init(params))
        return self._kgraph_with_rate(state, self._kgraph_number()) if self._was_set else state

    def _kgraph_updated(
        self, grads: Any, state: OptimizerState, params: Any, **extra: Any
    ) -> tuple[Any, OptimizerState]:
        """Returns optax's updates and the next state; `extra` goes to the transformation."""
        import optax

        rule = optax.with_extra_args_support(self._transformation)
        updates, inner = rule.update(grads, state.inner, params, **extra)
        return updates, state._replace(step=one_more(state.step), inner=inner)

    @property
    def learning_rate(self) -> Any:
        """The rate that `inject_hyperparams` was given, or what was set since."""
        return self._kgraph_number() if self._adjustable else self._refuse("read")

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if not self._adjustable:
            self._refuse("set")
        Optimizer.learning_rate.__set__(self, value)
        self._was_set = True

    @property
    def _kgraph_host_rate(self) -> float | None:
        """The rate, if it can be set."""
        return self._kgraph_number() if self._adjustable else None

    def _kgraph_current_rate(self, state: OptimizerState) -> Array:
        """Returns the rate in the state; raises LearningRateError if there is none."""
        rates = _learning_rates(state.inner, scheduled=True)
        return jnp.asarray(rates[0]) if rates else self._refuse("read")

    def _kgraph_adopt_rate(self, state: OptimizerState) -> None:
        """Takes the rate of `state` as this object's own, if it has one that can be set."""
        self._adjustable = bool(_learning_rates(state.inner))
        if self._adjustable:
            super()._kgraph_adopt_rate(state)

    def get_config(self) -> dict[str, Any]:
        """Raises ConfigError: functions cannot be written down."""
        raise ConfigError(
            f"{self.name!r} is an optax transformation and cannot be described as plain data",
            hint=[
                "use an optimizer of kgraph.optimizers, or save without the optimizer",
                "and pass the transformation to compile again after loading",
            ],
        )

    def _kgraph_with_rate(self, state: OptimizerState, value: float) -> OptimizerState:
        def write(node: Any) -> Any:
            if not _has_rate(node):
                return node
            rate = jnp.full_like(node.hyperparams["learning_rate"], value)
            return node._replace(hyperparams={**node.hyperparams, "learning_rate": rate})

        return state._replace(inner=jax.tree.map(write, state.inner, is_leaf=_has_rate))

    def _refuse(self, verb: str) -> NoReturn:
        raise LearningRateError(
            f"The learning rate of this optax transformation cannot be {verb}",
            expected="a state with a hyperparameter `learning_rate` that no schedule sets",
            hint="make it with optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)",
        )


def _state_without_parameters(transformation: Any) -> Any:
    """Returns a state that holds the hyperparameters and nothing else, or None.

    A transformation may insist on its own parameters (`optax.partition` with a tree of labels does)
    and fail in any way; `_kgraph_adopt_rate` then learns from a real state.
    """
    try:
        return transformation.init({})
    except Exception:
        return None


def _learning_rates(optax_state: Tree, scheduled: bool = False) -> list[Any]:
    """Returns the learning rates that a state holds as hyperparameters, outermost first."""
    nodes = jax.tree.leaves(optax_state, is_leaf=lambda node: _has_rate(node, scheduled))
    return [node.hyperparams["learning_rate"] for node in nodes if _has_rate(node, scheduled)]


def _has_rate(node: Any, scheduled: bool = False) -> bool:
    given = getattr(node, "hyperparams", None)
    if not isinstance(given, Mapping) or "learning_rate" not in given:
        return False
    return scheduled or "learning_rate" not in getattr(node, "hyperparams_states", {})
