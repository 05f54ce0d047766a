"""Windows of images, and resizing. Sizes may be unknown ones (`jax.export` symbols).

`axis` is the axis of the height, counted from the end; that of the width is the next one.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import max_dim, min_dim

from kgraph.types import Array, DTypeLike

Size = tuple[int, int]
"""A height and a width."""


def crop(images: Array, axis: int, start: tuple[Any, Any], size: tuple[int, ...]) -> Array:
    """Returns a window; its start may be traced numbers."""
    for i, (first, length) in enumerate(zip(start, size)):
        if isinstance(first, jax.Array):
            images = jax.lax.dynamic_slice_in_dim(images, first, length, axis + i)
        else:
            images = jax.lax.slice_in_dim(images, first, first + length, axis=axis + i)
    return images


def centred(images: Array, axis: int, size: tuple[int, ...]) -> tuple[Any, Any]:
    """Returns the start of the window of this size in the middle, rounded to the top left."""
    return tuple((images.shape[axis + i] - size[i]) // 2 for i in (0, 1))  # type: ignore[return-value]


def crop_to_aspect_ratio(images: Array, axis: int, target: Size) -> Array:
    """Returns the largest window in the middle that has the target's ratio of width to height."""
    height, width = images.shape[axis], images.shape[axis + 1]
    by_width, by_height = width * target[0] // target[1], height * target[1] // target[0]
    size = max_dim(min_dim(height, by_width), 1), max_dim(min_dim(width, by_height), 1)
    return crop(images, axis, centred(images, axis, size), size)


def pad_to_aspect_ratio(images: Array, axis: int, target: Size, fill_value: float) -> Array:
    """Returns the images with equal borders on two sides, as wide as the target's ratio asks.

    Of an odd difference half is added on each side, rounded down: one row or column is missing.
    Integers become float32, as the value of the borders need not be one.
    """
    if not jnp.issubdtype(images.dtype, jnp.floating):
        images = images.astype(jnp.float32)
    height, width = images.shape[axis], images.shape[axis + 1]
    by_width, by_height = width * target[0] // target[1], height * target[1] // target[0]
    borders: list[Any] = [(0, 0)] * images.ndim
    borders[axis] = ((max_dim(height, by_width) - height) // 2,) * 2
    borders[axis + 1] = ((max_dim(width, by_height) - width) // 2,) * 2
    return jnp.pad(images, borders, constant_values=jnp.asarray(fill_value, images.dtype))


def resize(
    images: Array,
    axis: int,
    target: Size,
    method: str,
    antialias: bool = False,
    dtype: DTypeLike | None = None,
) -> Array:
    """Returns the images resized, in `dtype` (theirs): integers are rounded and stay in range."""
    dtype = jnp.dtype(dtype or images.dtype)
    shape = list(images.shape)
    shape[axis], shape[axis + 1] = target
    resized = jax.image.resize(images, shape, method, antialias=antialias)
    if jnp.issubdtype(dtype, jnp.integer) and resized.dtype != dtype:
        ends = jnp.iinfo(dtype)
        resized = jnp.clip(jnp.round(resized), ends.min, ends.max)
    return resized.astype(dtype)


def crop_or_fit(
    images: Array, axis: int, target: Size, start: tuple[Any, Any], method: str = "bilinear"
) -> Array:
    """Returns the target-sized window at `start`; images too small for it go through `fit`."""
    sizes = images.shape[axis], images.shape[axis + 1]
    if all(isinstance(size, int) for size in sizes):
        large = all(size >= wanted for size, wanted in zip(sizes, target))
        return crop(images, axis, start, target) if large else fit(images, axis, target, method)

    def cut() -> Array:
        room = [(0, 0)] * images.ndim  # a window has to exist whatever the sizes are
        for i in (0, 1):
            room[axis + i] = (0, max_dim(sizes[i], target[i]) - sizes[i])
        first = jnp.asarray(start[0], jnp.int32), jnp.asarray(start[1], jnp.int32)
        return crop(jnp.pad(images, room), axis, first, target)

    high, wide = (jnp.asarray(size) >= wanted for size, wanted in zip(sizes, target))
    return jax.lax.cond(high & wide, cut, lambda: fit(images, axis, target, method))


def fit(images: Array, axis: int, target: Size, method: str = "bilinear") -> Array:
    """Returns the largest window in the middle with the target's ratio, brought to its size."""
    return resize(crop_to_aspect_ratio(images, axis, target), axis, target, method)
