"""Random rectangles in an image, as a mask over its pixels."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from kgraph.types import Array


def random_span(key: Array, length: Any, share: Array) -> tuple[Array, Array]:
    """Returns the ends of a span that covers a share of a length, at a random place, in pixels.

    Both are float32: a pixel belongs to the span if its number is not below the first end and is
    below the second.
    """
    whole = as_float(length)
    covered = share * whole
    start = jax.random.uniform(key, covered.shape, jnp.float32) * (whole - covered)
    return start, start + covered


def inside(spans: Any, size: tuple[int, ...]) -> Array:
    """Returns which pixels, `[height, width]`, lie in both the vertical and horizontal span."""
    rows, columns = (
        (start <= place) & (place < end)
        for (start, end), length in zip(spans, size)
        for place in [jnp.arange(length).astype(start.dtype)]
    )
    return rows[:, None] & columns[None, :]


def as_float(length: Any) -> Array:
    """Returns a size, which may be unknown, as a float32 number."""
    return jnp.asarray(length).astype(jnp.float32)
