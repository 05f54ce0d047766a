"""Stacks arrays along a new first axis and takes them apart, at a cost that does not grow with
their number when it comes to compiling. Weights can be kept stacked until somebody reads one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from kgraph.layers.base.variable import Variable
from kgraph.types import Array


class Bundle:
    """Keeps several weights as one array, until somebody reads one of them.

    Nobody else has the array: a training may take it as it is, and give its memory away.

    Args:
        whole: the weights' arrays, stacked.
        members: the weights, which hand their arrays over.
    """

    def __init__(self, whole: Array, members: Sequence[Variable]) -> None:
        self._whole: Array | None = whole
        self._members = tuple(members)
        self._lock = threading.Lock()  # one thread may read while another begins to train
        for member in self._members:
            member.keep_in(self)

    @staticmethod
    def of(members: Sequence[Variable]) -> Bundle:
        """Returns what keeps just these weights, in this order; made now if there is none."""
        known = members[0].keeper
        if isinstance(known, Bundle) and known.keeps(members):
            return known
        return Bundle(stack_rows([member.value for member in members]), members)

    def keeps(self, members: Sequence[Variable]) -> bool:
        """Tells whether these are the weights, and none has been set meanwhile."""
        same = len(members) == len(self._members)
        return same and all(
            one is other and one.keeper is self for one, other in zip(members, self._members)
        )

    @property
    def whole(self) -> Array:
        """The array; not to be changed or given away before `close`."""
        assert self._whole is not None, "the bundle was taken apart"
        return self._whole

    def part(self) -> None:
        """Gives each weight its own array, unless it has another by now."""
        with self._lock, jax.ensure_compile_time_eval():
            if self._whole is None:
                return
            rows = take_rows(self._whole, len(self._members))
            for member, row in zip(self._members, rows):
                if member.keeper is self:
                    member.take_back(row)
            self._whole = None

    def close(self) -> None:
        """Lets go of the array, of which there is a new owner."""
        with self._lock:
            self._whole = None


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
