"""How kgraph writes an optax transformation of its own: the formula for one parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from kgraph.optimizers.state import one_more
from kgraph.types import Array, Tree

if TYPE_CHECKING:
    from optax import GradientTransformation

Slots: TypeAlias = dict[str, Array]
"""What a rule remembers of one parameter, by Keras' names: `{"momentum": …, "velocity": …}`."""

MakeSlots: TypeAlias = Callable[[Array], Slots]
"""From a parameter to its slots before the first update."""

Formula: TypeAlias = Callable[[Array, Array, Slots, Array], tuple[Array, Slots]]
"""From (gradient, parameter, slots, t) to (what is added to the parameter, new slots).

`t` is the number of this update, counted from 1, as a float32 scalar.
"""


class PerParameterState(NamedTuple):
    """The number of updates made, and for each slot a tree shaped like the parameters.

    Where a parameter has no such slot the tree holds None.
    """

    count: Any  # an Array; a tuple has a method of this name
    slots: dict[str, Any]


def per_parameter(make_slots: MakeSlots, formula: Formula) -> GradientTransformation:
    """Returns the optax transformation that applies `formula` to each parameter by itself."""
    import optax

    def init(params: Tree) -> PerParameterState:
        leaves, structure = jax.tree.flatten(params)
        rows = [make_slots(leaf) for leaf in leaves]
        return PerParameterState(jax.device_put(np.int32(0)), _by_slot(rows, structure))

    def update(
        updates: Tree, state: Any, params: Tree | None = None
    ) -> tuple[Any, PerParameterState]:
        leaves, structure = jax.tree.flatten(params)
        gradients = structure.flatten_up_to(updates)
        columns = {name: structure.flatten_up_to(tree) for name, tree in state.slots.items()}
        count = one_more(state.count)
        t = count.astype(jnp.float32)
        changes, rows = [], []
        for i, (gradient, parameter) in enumerate(zip(gradients, leaves, strict=True)):
            slots = {name: c[i] for name, c in columns.items() if c[i] is not None}
            change, slots = formula(gradient, parameter, slots, t)
            changes.append(change)
            rows.append(slots)
        return structure.unflatten(changes), PerParameterState(count, _by_slot(rows, structure))

    return optax.GradientTransformation(init, update)


def zeros_like(parameter: Array) -> Array:
    """Returns zeros of the shape and dtype of a parameter, where it is.

    Those for arrays that nobody placed are made on the host: `jnp.zeros_like` compiles once for
    each shape, 3.3 s for 40 shapes (jax 0.10.2, CPU).
    """
    if isinstance(parameter, Tracer) or getattr(parameter, "committed", False):
        return jnp.zeros_like(parameter)
    return jax.device_put(np.zeros(parameter.shape, parameter.dtype))


def scale_by_rate(learning_rate: Array) -> GradientTransformation:
    """Returns the optax transformation that multiplies by minus the learning rate.

    `optax.scale` would promote bfloat16 updates to the float32 of the rate, and with them the state
    of what follows in a chain.
    """
    import optax

    def scale(updates: Tree, _params: Tree | None) -> Any:
        return jax.tree.map(lambda u: -learning_rate.astype(u.dtype) * u, updates)

    return optax.stateless(scale)


def _by_slot(rows: list[Slots], structure: Any) -> dict[str, Any]:
    names = sorted({name for row in rows for name in row})
    return {name: structure.unflatten([row.get(name) for row in rows]) for name in names}
