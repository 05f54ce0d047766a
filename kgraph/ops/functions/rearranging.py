"""`rearrange`: axes split, moved and joined, written as a pattern."""

from __future__ import annotations

import math
import re
from typing import Any

import jax.numpy as jnp

from kgraph.errors import ConfigError
from kgraph.types import Array

__all__ = ["rearrange"]

Groups = list[list[str]]
"""Names of axes; those of one group lie in one axis of the array."""


def rearrange(tensor: Array, pattern: str, **axes_lengths: int) -> Array:
    """Returns the tensor with its axes as a pattern says.

    Args:
        tensor: the array.
        pattern: names of the axes before and after, such as `"b (h w) c -> b h w c"`; those in
            parentheses lie in one axis.
        axes_lengths: sizes of axes that the shape does not tell; one in each pair of parentheses
            may be missing.

    Raises:
        ConfigError: the pattern and the tensor do not fit.

    >>> import numpy as np
    >>> rearrange(np.zeros((2, 6, 3)), "b (h w) c -> (b c) w h", h=2).shape
    (6, 3, 2)
    """
    before, arrow, after = pattern.partition("->")
    given, wanted = _groups(before), _groups(after)
    flat = [name for group in given for name in group]
    order = [name for group in wanted for name in group]
    fits = arrow and len(given) == tensor.ndim and sorted(flat) == sorted(order)
    if not fits or len(set(flat)) < len(flat):
        raise ConfigError(
            "This pattern does not fit the tensor",
            expected="each axis once on both sides of '->'",
            received=f"{pattern!r} for shape {tuple(tensor.shape)}",
        )
    sizes: dict[str, Any] = {}
    for group, size in zip(given, tensor.shape):
        sizes |= _sizes(group, size, axes_lengths)
    split = jnp.reshape(tensor, [sizes[name] for name in flat])
    moved = jnp.transpose(split, [flat.index(name) for name in order])
    return jnp.reshape(moved, [math.prod(sizes[name] for name in group) for group in wanted])


def _groups(side: str) -> Groups:
    return [part.strip("()").split() for part in re.findall(r"\([^()]*\)|\w+", side)]


def _sizes(group: list[str], size: Any, known: dict[str, int]) -> dict[str, Any]:
    """Returns the size of each axis that lies in one of this size."""
    missing = [name for name in group if name not in known]
    sizes: dict[str, Any] = {name: known[name] for name in group if name in known}
    rest = math.prod(sizes.values())
    if len(missing) > 1 or (
        isinstance(size, int) and (size % rest or (not missing and size != rest))
    ):
        raise ConfigError(
            f"The axes ({' '.join(group)}) do not fit an axis of size {size}",
            received=", ".join(f"{name}={n}" for name, n in sizes.items()) or None,
        )
    return sizes | dict.fromkeys(missing, size // rest)
