"""Conditions and loops: JAX's, called as Keras calls them.

On symbolic tensors they are nodes like others. A model that has one runs and trains; it cannot be
saved or cloned, since a function of Python is part of it.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from kgraph.types import Array, Function, Tree

__all__ = [
    "associative_scan", "cond", "fori_loop", "jvp", "map", "scan", "switch", "vectorized_map",
    "while_loop",
]  # fmt: skip


def cond(pred: Any, true_fn: Function, false_fn: Function, *operands: Tree) -> Any:
    """Returns `true_fn(*operands)` if `pred` holds, else `false_fn(*operands)`.

    Keras has no operands; its functions can only read arrays that they know.
    """
    return jax.lax.cond(pred, true_fn, false_fn, *operands)


def switch(index: object, branches: Any, *operands: Tree) -> Any:
    """Returns `branches[index](*operands)`; an index out of range counts as the nearest one."""
    return jax.lax.switch(index, list(branches), *operands)


def fori_loop(lower: Any, upper: Any, body_fun: Function, init_val: Tree) -> Any:
    """Returns what `value = body_fun(i, value)` makes of `init_val`, for each `i` below `upper`."""
    return jax.lax.fori_loop(lower, upper, body_fun, init_val)


def while_loop(
    cond: Function, body: Function, loop_vars: Tree, maximum_iterations: int | None = None
) -> Any:
    """Returns what `body` makes of the variables while `cond` holds.

    Args:
        cond: takes the variables one by one and returns whether to go on.
        body: takes them and returns the new ones, as many.
        loop_vars: a list or tuple, or a single variable.
        maximum_iterations: how often the body runs at most.
    """
    several = isinstance(loop_vars, (list, tuple))

    def goes_on(state: tuple[Array, tuple]) -> Array:
        count, variables = state
        wanted = jnp.asarray(cond(*variables)).astype(bool)
        return wanted if maximum_iterations is None else wanted & (count < maximum_iterations)

    def once(state: tuple[Array, tuple]) -> tuple[Array, tuple]:
        count, variables = state
        made = body(*variables)
        return count + 1, tuple(made) if several else (made,)

    first = tuple(loop_vars) if several else (loop_vars,)
    _, last = jax.lax.while_loop(goes_on, once, (jnp.zeros((), jnp.int32), first))
    return last if several else last[0]


def scan(
    f: Function,
    init: Tree,
    xs: Tree = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """Returns the last state and all outputs of `state, output = f(state, x)` over `xs`."""
    return jax.lax.scan(f, init, xs, length, reverse, unroll)


def associative_scan(f: Function, elems: Tree, reverse: bool = False, axis: int = 0) -> Any:
    """Returns all partial results of an associative function along an axis.

    Along an axis of unknown size they are made one after the other.
    """
    if all(isinstance(leaf.shape[axis], int) for leaf in jax.tree.leaves(elems)):
        return jax.lax.associative_scan(f, elems, reverse, axis)
    rows = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, axis, 0), elems)
    first = jax.tree.map(lambda leaf: leaf[-1 if reverse else 0], rows)
    rest = jax.tree.map(lambda leaf: leaf[:-1] if reverse else leaf[1:], rows)

    def step(total: Any, row: Any) -> tuple[Any, Any]:
        total = f(total, row)
        return total, total

    _, others = jax.lax.scan(step, first, rest, reverse=reverse)

    def joined(one: Array, many: Array) -> Array:
        parts = [many, one[None]] if reverse else [one[None], many]
        return jnp.moveaxis(jnp.concatenate(parts), 0, axis)

    return jax.tree.map(joined, first, others)


def map(f: Function, xs: Tree) -> Any:
    """Returns `f` of each entry along the first axis, one after the other."""
    return jax.lax.map(f, xs)


def vectorized_map(function: Function, elements: Tree) -> Any:
    """Returns the function of each entry along the first axis, all at once."""
    return jax.vmap(function)(elements)


def jvp(fun: Function, primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """Returns the function's result and its derivative along the tangents (see `jax.jvp`)."""
    return jax.jvp(fun, tuple(primals), tuple(tangents), has_aux=has_aux)
