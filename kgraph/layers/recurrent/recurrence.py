"""Cells made ready for the loop: the built-in ones in two parts, any other by calling it."""

from __future__ import annotations

from copy import copy
from typing import Any

import jax
import jax.numpy as jnp

from kgraph.errors import StateError
from kgraph.graph.structure import map_structure
from kgraph.layers.base import Layer
from kgraph.layers.base.binding import updates
from kgraph.layers.base.core import label_of
from kgraph.layers.base.tree import children
from kgraph.layers.recurrent.cell import RecurrentCell, WeightedCell
from kgraph.layers.recurrent.late_weights import LateWeights
from kgraph.layers.recurrent.scan import Recurrence
from kgraph.types import Array, Tree


def recurrence(
    cell: Any, inputs: Array, states: Tree, training: bool | None, constants: Tree
) -> Recurrence:
    """Returns the loop of a bound cell.

    Args:
        cell: bound, and built with all that is inside it.
        inputs: `[time, batch, *features]`.
        states: before the first step; None for the cell's own initial states.
        training: whether to behave as in training.
        constants: passed on to every step, if not None.
    """
    if states is not None:
        states = list(states) if isinstance(states, (list, tuple)) else [states]
        states = map_structure(lambda s: jnp.asarray(s, cell.compute_dtype), states)
    # A subclass with a `call` of its own means that call to be run.
    if isinstance(cell, RecurrentCell) and type(cell).call is RecurrentCell.call:
        return _hoisted(cell, inputs, states, training)
    return _called(cell, inputs, states, training, constants)


def _hoisted(cell: RecurrentCell, inputs: Array, states: Any, training: bool | None) -> Recurrence:
    one_step = jax.ShapeDtypeStruct(inputs.shape[1:], inputs.dtype)
    projected = cell.project(inputs, cell.draw_mask(one_step, cell.dropout, training))
    states = cell.start(projected) if states is None else states
    mask = cell.draw_mask(states[0], cell.recurrent_dropout, training)
    return Recurrence(
        inputs=projected,
        states=states,
        step=lambda x, before: cell.step(x, before, mask),
        output=lambda after: after[0],
        final=lambda after: after,
        late=_late(cell, mask),
    )


def _late(cell: RecurrentCell, mask: Array | None) -> LateWeights | None:
    """Returns the weights of a cell whose gradients can be taken after the loop, if it has any."""
    is_added = vars(type(cell)).get("recurrent_is_added")
    if not isinstance(cell, WeightedCell) or is_added is None:
        return None

    def step(x: Array, before: Any, recur: Any, mask: Array | None) -> list[Array]:
        running = copy(cell)
        vars(running)["recur"] = recur
        return running.step(x, before, mask)

    return LateWeights(cell.recurrent_weights(), mask, cell.product, is_added, step)


def _called(
    cell: Any, inputs: Array, states: Tree, training: bool | None, constants: Tree
) -> Recurrence:
    """Returns the loop of any cell. The output travels with the states, to be there when masked.

    The body of a loop is traced once, so a cell that draws random numbers draws the same at every
    step of a call: dropout inside a cell is constant over time.
    """
    options = {} if constants is None else {"constants": constants}

    def step(x: Array, before: Any) -> Any:
        output, after = _sealed(cell, x, before[0], training=training, **options)
        return (after if isinstance(after, (list, tuple)) else [after]), output

    if states is None:
        states = initial_states(cell, inputs.shape[1], inputs)
    one_step = jax.ShapeDtypeStruct(inputs.shape[1:], inputs.dtype)
    output = jax.eval_shape(lambda x, s: step(x, (s, None))[1], one_step, states)
    first = jnp.zeros_like(inputs, shape=output.shape, dtype=output.dtype)
    return Recurrence(
        inputs=inputs,
        states=(states, first),
        step=step,
        output=lambda after: after[1],
        final=lambda after: after[0],
    )


def _sealed(cell: Any, *args: Any, **options: Any) -> Any:
    """Calls a cell inside a loop, out of which neither new state nor losses could get."""
    context = cell._kgraph.context
    losses, before = len(context.losses), set(updates(context))
    result = cell(*args, **options)
    if len(context.losses) > losses or set(updates(context)) - before:
        raise StateError(
            f"{label_of(cell)} updates state or adds a loss inside the loop over time",
            hint="return what changes from step to step as one of the cell's states",
        )
    return result


def initial_states(cell: Any, batch: Any, like: Array | None = None) -> list[Any]:
    """Returns the states of a cell before its first step, for so many samples.

    Args:
        cell: has `get_initial_state(batch_size)`, or a `state_size` for zeros.
        batch: number of samples.
        like: an array of the loop. Zeros made like it vary over the same axes of a `shard_map`.
    """
    make = getattr(cell, "get_initial_state", None)
    if make is not None:
        states = make(batch_size=batch)
        return list(states) if isinstance(states, (list, tuple)) else [states]
    sizes = cell.state_size
    sizes = list(sizes) if isinstance(sizes, (list, tuple)) else [sizes]
    dtype = cell.compute_dtype
    pattern = jnp.zeros((), dtype) if like is None else like
    return map_structure(lambda n: jnp.zeros_like(pattern, dtype, shape=(batch, n)), sizes)


def layers_inside(layer: Layer) -> list[Layer]:
    """Returns the layers inside a layer, at any depth."""
    found = []
    for _, child in children(layer):
        found += [child, *layers_inside(child)]
    return found
