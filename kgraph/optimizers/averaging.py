"""The moving average of the parameters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from kgraph.types import Array, Tree


def move_average(average: Tree, new_params: Tree, step: Array, momentum: float) -> Any:
    """Returns `momentum * average + (1 - momentum) * new_params`.

    At the first update (`step` is 1) the average becomes the parameters, whatever it was.
    """
    kept = jnp.where(step == 1, 0.0, momentum)

    def move(old: Array, new: Array) -> Array:
        stays = kept.astype(old.dtype)
        return stays * old + (1 - stays) * new

    return jax.tree.map(move, average, new_params)


def overwrite_every(frequency: int, updates: Tree, average: Tree, params: Tree, step: Array) -> Any:
    """Returns the updates, or on every `frequency`-th step those that lead to the average."""
    due = step % frequency == 0
    return jax.tree.map(lambda u, a, p: jnp.where(due, a - p, u), updates, average, params)
