"""What merging layers ask of their inputs, checked before anything is computed."""

from __future__ import annotations

from typing import Any

import jax.export
import jax.numpy as jnp

from kgraph.errors import GraphError
from kgraph.graph import SymbolicTensor
from kgraph.graph.dims import dim_names, show_dims
from kgraph.layers.base.core import label_of
from kgraph.layers.base.symbolic import symbolic_dims
from kgraph.types import Array


def check_list(layer: Any, inputs: Any, least: int, most: int | None) -> list[Any]:
    """Returns the inputs as a list, or raises GraphError if they are no list of tensors."""
    given = list(inputs) if isinstance(inputs, (list, tuple)) else None
    if given is None or not all(hasattr(item, "shape") for item in given):
        raise GraphError(
            f"{label_of(layer)} takes a list of tensors",
            received=type(inputs).__name__
            if given is None
            else ", ".join(type(item).__name__ for item in given),
            hint=f"{type(layer).__name__}()([a, b])",
        )
    if len(given) < least or (most is not None and len(given) > most):
        count = f"exactly {most}" if most == least else f"at least {least}"
        raise GraphError(
            f"{label_of(layer)} takes {count} tensors", received=f"{len(given)} tensors"
        )
    return given


def sizes(tensor: Any) -> tuple[Any, ...]:
    """Returns the exact shape: symbols have texts for unknown sizes."""
    return tensor.spec.dims if isinstance(tensor, SymbolicTensor) else tuple(tensor.shape)


def equal(one: Any, other: Any) -> bool:
    """Tells whether two sizes are equal whatever the unknowns are."""
    if one == other or not (isinstance(one, str) or isinstance(other, str)):
        return one == other
    parsed = symbolic_dims((one, other), jax.export.SymbolicScope())
    return bool(parsed[0] == parsed[1])


def mismatch(layer: Any, tensors: list[Any], axis: int, found: list[Any]) -> GraphError:
    """Returns the error for inputs whose sizes on one axis do not fit."""
    unknown = any(isinstance(size, str) for size in found)
    what = f"{label_of(layer)} cannot bring its inputs together: sizes differ on axis {axis}"
    hint = None
    names = [set(dim_names([size])) for size in found]
    if unknown and set.intersection(*names):
        hint = (
            "both sizes follow from one unknown size and differ for every value of it: pad or crop "
            "one of them (padding='same', layers.ZeroPadding..., layers.Cropping...)"
        )
    if any("floordiv" in str(size) for size in found):
        hint = (
            "halving and doubling an unknown size gives it back only if it is even; say so where "
            'it enters: Input(("16*height", "16*width", 3)) for multiples of 16'
        )
    elif unknown and hint is None:
        known = next((size for size in found if isinstance(size, int) and size != 1), None)
        hint = "if the two sizes are always equal, say so where they enter: " + (
            f"give the number {known} to Input"
            if known is not None
            else 'give them one name, Input(("time", 64)) on both'
        )
    return GraphError(
        what,
        expected="equal sizes" if layer.exact else "equal sizes, or 1",
        received=[
            f"{show_dims(sizes(tensor))} as input {i}"
            + (f", from {tensor.name!r}" if isinstance(tensor, SymbolicTensor) else "")
            for i, tensor in enumerate(tensors)
        ],
        hint=hint,
    )


def same_rank(tensors: list[Array]) -> list[Array]:
    """Returns the arrays with new axes of size 1 after the batch, so that all have equal ranks."""
    rank = max(tensor.ndim for tensor in tensors)
    return [
        jnp.expand_dims(tensor, range(1, 1 + rank - tensor.ndim)) if tensor.ndim < rank else tensor
        for tensor in tensors
    ]
