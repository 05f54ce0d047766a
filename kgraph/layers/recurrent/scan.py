"""The loop over time: one `lax.scan`, with the masks inside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from kgraph.errors import GraphError
from kgraph.layers.recurrent.late_weights import LateWeights, Recur, run_late
from kgraph.types import Array, Tree


@dataclass(frozen=True)
class Recurrence:
    """A cell made ready for a loop.

    Fields:
        inputs: of all steps, `[time, batch, ...]`.
        states: before the first step.
        step: from the inputs of one step and the states to the new states.
        output: from the states after a step to its output.
        final: from the states after the last step to those that are the cell's.
        late: the weights that the loop may differentiate after its end, if any.
    """

    inputs: Array
    states: Any
    step: Callable[[Array, Any], Any]
    output: Callable[[Any], Array]
    final: Callable[[Any], list[Any]]
    late: LateWeights | None = None


def run(
    recurrence: Recurrence,
    mask: Array | None,
    collect: bool,
    zero_output_for_mask: bool,
    go_backwards: bool,
    unroll: bool,
) -> tuple[Array, list[Any]]:
    """Returns the outputs of a loop and the cell's states after it.

    At a masked step the states stay as they were, so the output is that of the step before (or 0
    with `zero_output_for_mask`).

    Args:
        recurrence: what is run.
        mask: `[time, batch]`, False where a step does not count; or None.
        collect: whether the outputs of all steps, `[time, batch, ...]` in the order in which they
            were computed, are returned, or only the last.
        zero_output_for_mask: see above.
        go_backwards: whether the last step is the first to be computed.
        unroll: whether the loop is written out; needs a known number of steps.
    """
    stacked = collect or (mask is not None and zero_output_for_mask)
    loop = _loop(recurrence, stacked, zero_output_for_mask, go_backwards, unroll)
    late, rest = recurrence.late, (recurrence.states, mask)
    if late is None:
        (states, outputs), _ = loop(None, None, recurrence.inputs, None, rest)
    else:
        states, outputs = run_late(loop, late, recurrence.inputs, rest)
    if not stacked:
        output = recurrence.output(states)
    elif collect:
        output = jnp.flip(outputs, 0) if go_backwards else outputs
    else:
        output = outputs[0 if go_backwards else -1]
    return output, recurrence.final(states)


def _loop(
    recurrence: Recurrence, stacked: bool, zero_output_for_mask: bool, reverse: bool, unroll: bool
) -> Callable[..., Any]:
    """Returns the loop as `run_late` takes it; without late weights, those arguments are None."""
    late = recurrence.late

    def step(inputs: Array, states: Tree, tap: Any, weights: Any, dropped: Any) -> tuple[Any, Any]:
        if late is None:
            return recurrence.step(inputs, states), None
        recur = Recur(late, weights, tap)
        return late.step(inputs, states, recur, dropped), recur.state

    def loop(weights: Any, dropped: Any, inputs: Array, taps: Any, rest: Any) -> Any:
        def body(states: Tree, xs: Any) -> tuple[Any, Any]:
            inputs, keep, tap = xs
            new, met = step(inputs, states, tap, weights, dropped)
            new = _like(new, states)
            if keep is not None:
                new = jax.tree.map(lambda now, before: _where(keep, now, before), new, states)
            if not stacked:
                return new, (None, met)
            output = recurrence.output(new)
            if keep is not None and zero_output_for_mask:
                output = _where(keep, output, jnp.zeros_like(output))
            return new, (output, met)

        states, mask = rest
        # Several steps in one iteration made the way back slower on a CPU (a quarter, LSTM(256)).
        states, (outputs, met) = jax.lax.scan(
            body, states, (inputs, mask, taps), reverse=reverse, unroll=True if unroll else 1
        )
        return (states, outputs), met

    return loop


def _where(keep: Array, now: Array, before: Array) -> Array:
    return jnp.where(jax.lax.expand_dims(keep, range(1, now.ndim)), now, before)


def _like(new: Tree, old: Tree) -> Any:
    """Returns new states in the structure and dtypes of the old ones, as a loop needs them."""
    found, wanted = jax.tree.leaves(new), jax.tree.leaves(old)
    if [a.shape for a in found] != [a.shape for a in wanted]:
        raise GraphError(
            "A cell must return states of the shapes that it was given",
            expected=", ".join(str(a.shape) for a in wanted),
            received=", ".join(str(a.shape) for a in found),
            hint="check state_size, and the initial states",
        )
    cast = [a.astype(b.dtype) for a, b in zip(found, wanted)]
    return jax.tree.unflatten(jax.tree.structure(old), cast)
