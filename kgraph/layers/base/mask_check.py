"""The check of masks that a user passes by hand; those that layers make fit by themselves."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from kgraph.errors import GraphError
from kgraph.layers.base.core import label_of
from kgraph.layers.base.layer import Layer
from kgraph.types import Array, Shape, Tree


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
    if not hasattr(mask, "shape"):
        raise GraphError(
            f"{label_of(layer)} cannot use this `{name}`: it is no array",
            expected=f"mask of shape {list(shape)}",
            received=repr(mask),
        )
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


def check_masks(layer: Layer, inputs: Tree, masks: Any, number: tuple[int, ...] = ()) -> list[Any]:
    """Returns the masks that `compute_mask` was given, one for each of a list of inputs.

    Args:
        layer: whose method it is.
        inputs: what the masks are of.
        masks: a list; None for no mask at all.
        number: how many there may be; by default as many as inputs.

    Raises:
        GraphError: one of the two is no list, or there are more or fewer.
    """
    counts = number or (len(inputs) if isinstance(inputs, (list, tuple)) else 0,)
    given = {"inputs": inputs} if masks is None else {"inputs": inputs, "mask": masks}
    for name, values in given.items():
        if not isinstance(values, (list, tuple)) or len(values) not in counts:
            listed = isinstance(values, (list, tuple))
            raise GraphError(
                f"{label_of(layer)} computes no mask of these `{name}`",
                expected=f"a list of {' or '.join(map(str, counts))}" if any(counts) else "a list",
                received=f"{len(values)} of them" if listed else type(values).__name__,
            )
    return [None] * counts[0] if masks is None else list(masks)
