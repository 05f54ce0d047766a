"""Stacks arrays along a new first axis and takes them apart, at a cost that does not grow with
their number when it comes to compiling."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from kgraph.types import Array


def stack_rows(rows: Sequence[Any]) -> Any:
    """Returns the arrays (or their shapes) as one with a new first axis.

    Outside of a trace nothing is compiled for rows in the host's memory. Others are written one by
    one into one array: `jnp.stack` would compile anew for each number of them.
    """
    if isinstance(rows[0], jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct((len(rows), *rows[0].shape), rows[0].dtype)
    if any(isinstance(row, Tracer) or getattr(row, "committed", False) for row in rows):
        return jnp.stack(rows)  # JAX decides, or the user has decided, where the result is
    if all(map(_is_on_host, rows)):
        return jax.device_put(np.stack([np.asarray(row) for row in rows]))
    whole = jnp.zeros((len(rows), *np.shape(rows[0])), jnp.result_type(rows[0]))
    for number, row in enumerate(rows):
        whole = _write(whole, row, np.int32(number))
    return whole


def take_rows(whole: Array, count: int) -> list[Array]:
    """Returns the arrays that were stacked. What is in the host's memory needs no compilation."""
    is_free = not isinstance(whole, Tracer) and not getattr(whole, "committed", False)
    if is_free and _is_on_host(whole):
        return jax.device_put(list(np.array(whole)))  # a copy: `whole` may be donated next
    return [take_row(whole, number) for number in range(count)]


def _is_on_host(row: Any) -> bool:
    if isinstance(row, jax.Array):
        is_key = jnp.issubdtype(row.dtype, jax.dtypes.prng_key)
        return not is_key and next(iter(row.devices())).platform == "cpu"
    return isinstance(row, np.ndarray)


def take_row(whole: Array, number: int) -> Array:
    """Returns one of the arrays that were stacked."""
    return whole[number] if isinstance(whole, Tracer) else _read(whole, np.int32(number))


@partial(jax.jit, donate_argnums=0)
def _write(whole: Array, row: Array, number: Array) -> Array:
    return jax.lax.dynamic_update_index_in_dim(whole, row, number, 0)


@jax.jit
def _read(whole: Array, number: Array) -> Array:
    return jax.lax.dynamic_index_in_dim(whole, number, 0, keepdims=False)
