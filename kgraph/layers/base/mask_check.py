"""The check of masks that a user passes by hand; those that layers make fit by themselves."""

from __future__ import annotations

import jax.numpy as jnp

from kgraph.errors import GraphError
from kgraph.layers.base.core import label_of
from kgraph.layers.base.layer import Layer
from kgraph.types import Array, Shape


def check_mask(layer: Layer, mask: Array | None, shape: Shape, name: str = "mask") -> None:
    """Raises GraphError unless a mask has as many axes as `shape` and fits it.

    A size of 1 is repeated, and a size that is unknown fits any. Numbers are truth values if they
    are whole: an array of floats is more often the logarithm of a mask than one.

    Args:
        layer: whose call it is.
        mask: what the call got; None is no mask.
        shape: what the mask has to be like.
        name: of the argument.
    """
    if mask is None:
        return
    sizes = zip(mask.shape, shape)
    known = ((a, b) for a, b in sizes if isinstance(a, int) and isinstance(b, int) and a != 1)
    if len(mask.shape) != len(shape) or any(a != b for a, b in known):
        raise GraphError(
            f"{label_of(layer)} cannot use this `{name}`: it does not fit the input",
            expected=f"mask of shape {list(shape)}",
            received=f"mask of shape {list(mask.shape)}",
        )
    dtype = jnp.dtype(mask.dtype)
    if not (jnp.issubdtype(dtype, jnp.bool) or jnp.issubdtype(dtype, jnp.integer)):
        raise GraphError(
            f"{label_of(layer)} cannot use this `{name}`: it does not hold truth values",
            expected="a mask of booleans or whole numbers",
            received=f"{mask.dtype}",
            hint=f"{name} != 0, or {name} == 0 if it is what is added to scores",
        )
