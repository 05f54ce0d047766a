"""Dot-product attention over heads: the masks, the scores, and what they pick out."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from kgraph.layers.base.context import widened
from kgraph.types import Array


@dataclass(frozen=True)
class Equations:
    """The einsum equations for attention over some axes.

    Fields:
        scores: from query and key `[batch, *axes, heads, size]` to
            `[batch, *other axes, heads, *query axes, *key axes]`.
        combine: from those and the value to the shape of the query.
    """

    scores: str
    combine: str


def equations(rank: int, axes: Sequence[int]) -> Equations:
    """Returns the equations for projected queries of a rank and the axes attended over.

    >>> equations(4, [1])
    Equations(scores='abyz,aByz->aybB', combine='aybB,aByz->abyz')
    """
    query = string.ascii_lowercase[: rank - 2]
    key = "".join(c.upper() if i in axes else c for i, c in enumerate(query))
    others = "".join(c for i, c in enumerate(query) if i not in axes)
    attended = "".join(query[i] for i in axes)
    scores = f"{others}y{attended}{attended.upper()}"
    return Equations(f"{query}yz,{key}yz->{scores}", f"{scores},{key}yz->{query}yz")


def band(steps: int, other_steps: int, causal: bool, window: int | None) -> Array | None:
    """Returns which of `other_steps` each of `steps` may see, `[steps, other_steps]`, or None.

    Args:
        steps, other_steps: lengths of query and key.
        causal: whether none sees a later one.
        window: how many positions to either side are seen, its own among them; None for all.
    """
    if not causal and window is None:
        return None
    row = jax.lax.broadcasted_iota(jnp.int32, (steps, other_steps), 0)
    column = jax.lax.broadcasted_iota(jnp.int32, (steps, other_steps), 1)
    seen = row >= column if causal else None
    if window is not None:
        near = jnp.abs(row - column) < window
        seen = near if seen is None else seen & near
    return seen


def join_masks(masks: Sequence[Array | None], rank: int, axes: int) -> Array | None:
    """Returns the masks that there are, all to hold, in the rank of the scores; or None.

    A mask `[batch, *query axes, *key axes]` gets the axis of the heads, and axes of size 1.

    Args:
        masks: to be combined.
        rank: of the scores.
        axes: number of axes attended over.
    """
    joined = None
    for mask in masks:
        if mask is None:
            continue
        first = max(mask.ndim - 2 * axes, 0)
        mask = jax.lax.expand_dims(mask.astype(bool), range(first, first + rank - mask.ndim))
        joined = mask if joined is None else joined & mask
    return joined


def softmax_where(scores: Array, mask: Array | None, axes: Sequence[int]) -> Array:
    """Returns the softmax over what a mask leaves, in float32; rows that it leaves empty are 0."""
    wide = widened(scores)
    if mask is not None:
        wide = jnp.where(mask, wide, -1e9)
    weights = jax.nn.softmax(wide, axis=tuple(axes))
    if mask is not None:
        weights = jnp.where(mask, weights, 0)
    return weights.astype(scores.dtype)


def zero_unseen(picked: Array, mask: Array | None) -> Array:
    """Returns what attention picked, and 0 for queries that saw nothing (JAX gives them the mean).

    Shapes: picked `[batch, target, heads, size]`; mask of the scores, `[batch, heads, target,
    source]`, with size 1 where it is the same for all.
    """
    if mask is None:
        return picked
    seen = jnp.swapaxes(jnp.any(mask, axis=-1, keepdims=True), 1, 2)
    return jnp.where(seen, picked, 0)
