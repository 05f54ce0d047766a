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
from kgraph.errors import StateError
from kgraph.layers.base import StatelessScope, Variable
from kgraph.optimizers.in_place import ADDED, InPlace
from kgraph.optimizers.state import one_more
from kgraph.types import Array, Tree

if TYPE_CHECKING:
    from optax import GradientTransformation

    from kgraph.optimizers.optimizer import Optimizer


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
        return {"count": jax.device_put(np.int32(0)), ADDED: added}

    def update(updates: Tree, state: Any, params: Tree | None = None) -> tuple[Any, Any]:
        hand = standing_in(optimizer, params)
        old, added = hand.values(params), state[ADDED]
        given = [(variable, added[str(i)]) for i, variable in enumerate(hand.added)]
        given += [(hand.iterations, state["count"]), *zip(hand.parameters, old)]
        with StatelessScope(given) as scope:
            for gradient, variable in zip(hand.values(updates), hand.parameters):
                optimizer.update_step(gradient, variable, learning_rate)
        changes = [now(scope, v) - before for v, before in zip(hand.parameters, old)]
        after = {str(i): now(scope, variable) for i, variable in enumerate(hand.added)}
        return hand.tree(changes), {"count": one_more(state["count"]), ADDED: after}

    return optax.GradientTransformation(init, update)


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
