"""Optimizers written as Keras' are: `update_step` on variables, or an `apply` of their own.

Both run in the pure `init` and `update` too: on variables that stand for the parameters, in a scope
that has the values and collects what is assigned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph import initializers
from kgraph.declared import method_of
from kgraph.errors import ConfigError, StateError
from kgraph.layers.base import StatelessScope, Variable
from kgraph.layers.base.arithmetic import value_of
from kgraph.layers.base.speaks import mentions
from kgraph.optimizers.in_place import ADDED, InPlace
from kgraph.optimizers.state import one_more
from kgraph.types import Array, ArrayLike, Tree

if TYPE_CHECKING:
    from optax import GradientTransformation

    from kgraph.optimizers.on_variables import OnVariables
    from kgraph.optimizers.optimizer import Optimizer

_BASE = "base"
"""Under this a state has that of the rule of `super().update_step`, for each parameter."""


def standing_in(optimizer: Optimizer, params: Tree) -> InPlace:
    """Returns what an optimizer was built on for such parameters; it is built now if need be."""
    flat, structure = jax.tree_util.tree_flatten_with_path(params)
    keys = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in flat]
    for hand in optimizer._kgraph.built:
        if sorted(hand.keys) == sorted(keys):
            return hand
    variables = []
    for key, (_, leaf) in zip(keys, flat):
        name = key.rpartition("/")[2]
        variables.append(Variable(initializers.Zeros(), leaf.shape, leaf.dtype, name=name))
        variables[-1].path = key
    before = len(optimizer._kgraph.built)
    optimizer.build(variables)
    if len(optimizer._kgraph.built) == before:
        raise StateError(
            f"The optimizer {optimizer.name!r} was built on other variables",
            expected=", ".join(keys),
            received=", ".join(optimizer._kgraph.built[-1].keys) if before else None,
            hint="call super().build(variables) in build; make an optimizer for each model",
        )
    optimizer._kgraph.built[-1].stand_in(structure)
    return optimizer._kgraph.built[-1]


def rule_of(optimizer: Optimizer, learning_rate: Array) -> GradientTransformation:
    """Returns the rule that `update_step` writes, as an optax transformation."""
    import optax

    def init(params: Tree) -> Any:
        hand = standing_in(optimizer, params)
        added = {str(i): variable.value for i, variable in enumerate(hand.added)}
        state = {"count": jax.device_put(np.int32(0)), ADDED: added}
        if mentions(type(optimizer), "update_step"):
            rule = method_of(optimizer, "transformation", 1)(learning_rate)
            pairs = zip(hand.keys, hand.values(params))
            state[_BASE] = {key: rule.init({key: value}) for key, value in pairs}
        return state

    def update(updates: Tree, state: Any, params: Tree | None = None) -> tuple[Any, Any]:
        hand = standing_in(optimizer, params)
        old, added = hand.values(params), state[ADDED]
        given = [(variable, added[str(i)]) for i, variable in enumerate(hand.added)]
        given += [(hand.iterations, state["count"]), *zip(hand.parameters, old)]
        base = optimizer._kgraph.base_states = dict(state[_BASE]) if _BASE in state else None
        try:
            with StatelessScope(given) as scope:
                for gradient, variable in zip(hand.values(updates), hand.parameters):
                    optimizer.update_step(gradient, variable, learning_rate)
        finally:
            optimizer._kgraph.base_states = None
        changes = [now(scope, v) - before for v, before in zip(hand.parameters, old)]
        after = {str(i): now(scope, variable) for i, variable in enumerate(hand.added)}
        new = {"count": one_more(state["count"]), ADDED: after}
        return hand.tree(changes), new if base is None else {**new, _BASE: base}

    return optax.GradientTransformation(init, update)


def base_step(
    optimizer: OnVariables, gradient: Array, variable: Variable, learning_rate: ArrayLike
) -> None:
    """Updates one variable by the rule that `transformation` has: `super().update_step(...)`.

    Raises:
        ConfigError: no `update_step` of the optimizer's class is running.
    """
    states = optimizer._kgraph.base_states
    if states is None:
        raise ConfigError(
            f"The update_step of {type(optimizer).__name__} is called from no update_step",
            expected="super().update_step(...) in a class' own update_step",
            hint="optimizer.apply(gradients, variables) updates variables by hand",
        )
    hand = optimizer._kgraph_hand([variable])
    key, value = hand.keys[hand.index(variable)], variable.value
    rule = method_of(optimizer, "transformation", 1)(jnp.asarray(learning_rate))
    gradients = {key: jnp.asarray(value_of(gradient)).astype(value.dtype)}
    changes, states[key] = rule.update(gradients, states[key], {key: value})
    variable.assign(value + changes[key].astype(value.dtype))


def through_apply(optimizer: Optimizer, grads: Tree, state: Tree, params: Tree) -> tuple[Any, Any]:
    """Returns the updates and the state that an overridden `apply` leads to."""
    hand = standing_in(optimizer, params)
    old, slots = hand.values(params), hand.slots
    given = [*zip(hand.parameters, old), *zip(slots.variables, slots.in_order(state))]
    with StatelessScope(given) as scope:
        optimizer.apply(hand.values(grads), hand.parameters)
        after = slots.state()
    changes = [now(scope, variable) - before for variable, before in zip(hand.parameters, old)]
    return hand.tree(changes), after


def now(scope: StatelessScope, variable: Variable) -> Array:
    """Returns what a variable of a scope holds."""
    return jnp.asarray(scope.get_current_value(variable))
