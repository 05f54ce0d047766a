"""Pieces of arrays read and written: slices, scattered values, segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from kgraph.errors import ConfigError, check_choice
from kgraph.types import Array

__all__ = [
    "scatter", "scatter_update", "segment_max", "segment_min", "segment_prod", "segment_sum",
    "slice", "slice_update",
]  # fmt: skip


def slice(inputs: Array, start_indices: Sequence[Any], shape: Sequence[int]) -> Array:
    """Returns the block of a shape at a place; a size of -1 reaches to the end of its axis.

    A block that would reach over the end begins earlier (see `jax.lax.dynamic_slice`).
    """
    inputs = jnp.asarray(inputs)
    sizes = [
        inputs.shape[axis] - start_indices[axis] if size == -1 else size
        for axis, size in enumerate(shape)
    ]
    return jax.lax.dynamic_slice(inputs, start_indices, sizes)


def slice_update(inputs: Array, start_indices: Sequence[Any], updates: Array) -> Array:
    """Returns the inputs with the block at a place replaced."""
    return jax.lax.dynamic_update_slice(jnp.asarray(inputs), jnp.asarray(updates), start_indices)


def scatter(indices: Array, values: Array, shape: Sequence[int]) -> Array:
    """Returns zeros of a shape with values added at places.

    Shapes: indices `[*n, k]`, the first `k` places of each value; values `[*n, *shape[k:]]`.
    """
    values = jnp.asarray(values)
    return jnp.zeros(tuple(shape), values.dtype).at[_places(indices)].add(values)


def scatter_update(
    inputs: Array, indices: Array, updates: Array, reduction: str | None = None
) -> Array:
    """Returns the inputs with values at places replaced or combined.

    Args:
        inputs: the array.
        indices: `[n, k]`, the first `k` places of each value.
        updates: `[n, *inputs.shape[k:]]`.
        reduction: None to replace, `"add"`, `"mul"`, `"max"` or `"min"`.
    """
    check_choice("scatter_update", "reduction", reduction, (None, "add", "mul", "max", "min"))
    at = jnp.asarray(inputs).at[_places(indices)]
    changes = {None: at.set, "add": at.add, "mul": at.multiply, "max": at.max, "min": at.min}
    return changes[reduction](updates)


def _places(indices: Array) -> tuple[Array, ...]:
    indices = jnp.asarray(indices)
    return tuple(indices[..., i] for i in range(indices.shape[-1]))


def segment_sum(
    data: Array, segment_ids: Array, num_segments: int | None = None, sorted: bool = False
) -> Array:
    """Adds up the entries along the first axis that have the same number.

    Args:
        data: `[n, ...]`.
        segment_ids: `[n]`, from 0.
        num_segments: size of the first axis of the result. Needed, as shapes are known beforehand.
        sorted: whether the numbers grow.
    """
    return jax.ops.segment_sum(data, segment_ids, _count(num_segments), sorted)


def segment_prod(
    data: Array, segment_ids: Array, num_segments: int | None = None, sorted: bool = False
) -> Array:
    """Multiplies the entries that have the same number; see `segment_sum`."""
    return jax.ops.segment_prod(data, segment_ids, _count(num_segments), sorted)


def segment_max(
    data: Array, segment_ids: Array, num_segments: int | None = None, sorted: bool = False
) -> Array:
    """Returns the largest of the entries that have the same number; see `segment_sum`."""
    return jax.ops.segment_max(data, segment_ids, _count(num_segments), sorted)


def segment_min(
    data: Array, segment_ids: Array, num_segments: int | None = None, sorted: bool = False
) -> Array:
    """Returns the smallest of the entries that have the same number; see `segment_sum`."""
    return jax.ops.segment_min(data, segment_ids, _count(num_segments), sorted)


def _count(num_segments: int | None) -> int:
    if num_segments is None:
        raise ConfigError("Segments need `num_segments`, for shapes are known beforehand")
    return num_segments
