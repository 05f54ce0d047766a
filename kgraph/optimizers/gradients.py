"""Clipping: what happens to gradients before a rule sees them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from kgraph.types import Array, Tree


def clip_each_by_norm(gradients: Tree, limit: float) -> Any:
    """Scales each gradient whose own L2 norm is above `limit` down to that norm."""

    def clip(gradient: Array) -> Array:
        norm = jnp.sqrt(jnp.sum(jnp.square(gradient)))
        return gradient * limit / jnp.maximum(norm, limit)

    return jax.tree.map(clip, gradients)


def clip_by_global_norm(gradients: Tree, limit: float) -> Any:
    """Scales all gradients by one factor so that their joint L2 norm is at most `limit`.

    A norm that is not finite makes every gradient NaN: a diverged step is visible at once.
    """
    squares = [jnp.sum(jnp.square(g.astype(jnp.float32))) for g in jax.tree.leaves(gradients)]
    norm = jnp.sqrt(sum(squares, jnp.float32(0)))
    scale = limit * jnp.minimum(1 / norm, 1 / limit) + (norm - norm)
    return jax.tree.map(lambda g: g * scale.astype(g.dtype), gradients)


def clip_values(gradients: Tree, limit: float) -> Any:
    """Limits every element to `[-limit, limit]`."""
    return jax.tree.map(lambda g: jnp.clip(g, -limit, limit), gradients)
