"""Gradients of the weights inside a loop, taken after the loop.

JAX differentiates a loop backwards by adding the share of each step to the gradient of a weight: a
product of small matrices and a pass over a matrix of the weight's size, for every step. The shares
of all steps together are one product, for which the loop has to keep only what the weight was
multiplied with. (Measured on 2 CPU cores, LSTM(256), 200 steps, batch 32: 12 % of the time of the
recurrence forwards and backwards.)

The rule is about tangents, so forward mode and higher derivatives work: a tangent of the weights
enters the tangent of the loop like one of its inputs, and transposing that is the product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from kgraph.types import Array, Tree


@dataclass(frozen=True)
class LateWeights:
    """What a loop has to know of the weights in its steps.

    Fields:
        weights: arrays.
        mask: a dropout mask on the states, or None; a constant.
        product: from weights, states (of one step, or of all) and mask; linear in the weights.
        is_added: whether a step only adds the product to its input.
        step: from the input of a step, the states, a `Recur` and the mask to the new states.
    """

    weights: Any
    mask: Array | None
    product: Callable[[Any, Array, Array | None], Array]
    is_added: bool
    step: Callable[[Array, Any, Any, Array | None], Any]

    def taps(self, inputs: Array) -> Array | None:
        """Returns zeros whose tangent takes the place of the weights' one, where inputs cannot."""
        return None if self.is_added else jnp.zeros_like(inputs)


class Recur:
    """Stands in for `recur` of a cell in one step of a loop, and remembers the state it met.

    Args:
        late: has the product.
        weights: constants, as far as derivatives are concerned.
        tap: its tangent is added to that of the product; None for none.
    """

    def __init__(self, late: LateWeights, weights: Any, tap: Array | None) -> None:
        self.late, self.weights, self.tap = late, weights, tap
        self.state: Array | None = None

    def __call__(self, state: Array, mask: Array | None) -> Array:
        self.state = state
        made = self.late.product(self.weights, state, mask)
        return made if self.tap is None else _add_tangent(made, self.tap)


@jax.custom_jvp
def _add_tangent(value: Array, tap: Array) -> Array:
    return value


@_add_tangent.defjvp
def _add_tangent_jvp(primals: Any, tangents: Any) -> Any:
    return primals[0], tangents[0] + tangents[1]


def run_late(
    loop: Callable[[Tree, Array | None, Array, Array | None, Tree], tuple[Tree, Array | None]],
    late: LateWeights,
    inputs: Array,
    rest: Tree,
) -> Any:
    """Returns the result of a loop whose weights are differentiated after it.

    Args:
        loop: from weights, mask, inputs, taps and `rest` to its result, and to the states that its
            `Recur` met at all steps (None if it met none). What it closes over is differentiated as
            usual.
        late: the weights.
        inputs: projected, `[time, ...]`; a product has the shape of one step.
        rest: what else the loop takes.
    """
    given = (late.weights, late.mask, inputs, late.taps(inputs), rest)
    closed, made = jax.make_jaxpr(loop, return_shape=True)(*given)
    leaves, tree = jax.tree.flatten((closed.consts, rest))
    floating = [jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in leaves]

    def call(weights: Any, mask: Any, inputs: Array, taps: Any, moving: Any, still: Any) -> Any:
        moving, still = iter(moving), iter(still)
        consts, rest = tree.unflatten([next(moving if f else still) for f in floating])
        function = jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, consts))
        results = function(*jax.tree.leaves((weights, mask, inputs, taps, rest)))
        return jax.tree.unflatten(jax.tree.structure(made), results)

    @jax.custom_jvp
    def run(weights: Any, mask: Any, inputs: Array, moving: Any, still: Any) -> Any:
        return call(weights, mask, inputs, late.taps(inputs), moving, still)[0]

    @run.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        weights, mask, inputs, moving, still = primals
        d_weights, _, d_inputs, d_moving, _ = tangents
        result, linear, states = jax.linearize(
            lambda inputs, taps, moving: call(weights, mask, inputs, taps, moving, still),
            inputs, late.taps(inputs), moving, has_aux=True,
        )  # fmt: skip
        if states is None:
            return result, linear(d_inputs, late.taps(inputs), d_moving)
        d_product = late.product(d_weights, states, mask)
        if late.is_added:
            return result, linear(d_inputs + d_product, None, d_moving)
        return result, linear(d_inputs, d_product, d_moving)

    moving = [leaf for leaf, floats in zip(leaves, floating) if floats]
    still = [leaf for leaf, floats in zip(leaves, floating) if not floats]
    return run(late.weights, late.mask, inputs, moving, still)
