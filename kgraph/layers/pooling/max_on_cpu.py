"""The maximum of windows, with a gradient that is fast on a CPU.

XLA's own gradient (`select_and_scatter`) walks there over all windows in one thread, 3 to 10 times
slower. Here it is known of each window which of its cells was the largest (of equal ones the first,
as in XLA), and one comparison for each input gives the gradient.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.types import AnyArray, Array

Steps: TypeAlias = tuple[int, ...]
"""A size for each axis of an array; 1 for batch and channels."""


@partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def max_on_cpu(inputs: Array, window: Steps, strides: Steps, padding: str) -> Array:
    """Returns the largest value of each window of an array of floats.

    Args:
        inputs: any shape.
        window, strides: sizes along each axis.
        padding: "SAME" or "VALID".
    """
    start = np.array(-np.inf, inputs.dtype)
    return jax.lax.reduce_window(inputs, start, jax.lax.max, window, strides, padding)


@max_on_cpu.defjvp
def _tangent(
    window: Steps, strides: Steps, padding: str, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, AnyArray]:
    (inputs,), (tangent,) = primals, tangents
    outputs = max_on_cpu(inputs, window, strides, padding)
    pads = jax.lax.padtype_to_pads(inputs.shape, window, strides, padding)
    cells = list(_cells(inputs, -np.inf, outputs.shape, window, strides, pads))
    cell = jnp.zeros(outputs.shape, jnp.int8 if len(cells) < 128 else jnp.int32)
    for number, values in reversed(list(enumerate(cells))):
        cell = jnp.where(values == outputs, cell.dtype.type(number), cell)
    if window == strides:
        return outputs, _largest_of_blocks(tangent, cell, window, pads)
    parts = _cells(tangent, 0, outputs.shape, window, strides, pads)
    zero = np.zeros((), tangent.dtype)
    return outputs, sum(
        (jnp.where(cell == number, part, zero) for number, part in enumerate(parts)), zero
    )


def _cells(
    array: Array,
    outside: float,
    counts: Sequence[int],
    window: Steps,
    strides: Steps,
    pads: Sequence[tuple[int, int]],
) -> Iterator[Array]:
    """Yields for each cell of the window its values in all windows; `outside` is the padding."""
    padded = jax.lax.pad(
        array, np.array(outside, array.dtype), [(low, high, 0) for low, high in pads]
    )
    for low in itertools.product(*map(range, window)):
        high = [at + (n - 1) * step + 1 for at, n, step in zip(low, counts, strides)]
        yield jax.lax.slice(padded, low, high, strides)


def _largest_of_blocks(
    array: Array, cell: Array, window: Steps, pads: Sequence[tuple[int, int]]
) -> Array:
    """Returns one value of each window, where windows lie side by side: cell number `cell`."""
    sizes = [n * step for n, step in zip(cell.shape, window)]
    cut = [(low, size - old - low, 0) for size, old, (low, _) in zip(sizes, array.shape, pads)]
    array = jax.lax.pad(array, np.zeros((), array.dtype), cut)
    pairs = list(zip(cell.shape, window))
    blocks = array.reshape([size for pair in pairs for size in pair])
    number = np.arange(math.prod(window)).reshape([n for step in window for n in (1, step)])
    inner = tuple(range(1, blocks.ndim, 2))
    chosen = jnp.expand_dims(cell, inner) == number.astype(cell.dtype)
    return jnp.where(chosen, blocks, np.zeros((), array.dtype)).sum(inner)
