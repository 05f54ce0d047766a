"""What every array has: dtype, shape, values, items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.errors import ConfigError
from kgraph.graph.symbol import SymbolicTensor
from kgraph.types import Array, ArrayLike, DTypeLike, Function, Shape

__all__ = [
    "array", "cast", "convert_to_numpy", "convert_to_tensor", "custom_gradient", "dtype",
    "get_item", "getitem", "is_tensor", "ndim", "saturate_cast", "shape", "size", "vectorize",
    "view",
]  # fmt: skip


def getitem(x: Array, index: object) -> Array:
    """Returns `x[index]` for one part or a list of parts; a list in that is an array."""
    parts = index if isinstance(index, (list, tuple)) else [index]
    return x[tuple(np.asarray(part) if isinstance(part, list) else part for part in parts)]


def get_item(x: Any, key: Any) -> Any:
    """Returns `x[key]`."""
    return x[key]


def array(x: ArrayLike, dtype: DTypeLike | None = None) -> Array:
    """Returns a copy of anything like an array as an array."""
    return jnp.array(x, dtype=dtype)


def cast(x: ArrayLike, dtype: DTypeLike) -> Array:
    """Returns the array in another dtype."""
    return jnp.asarray(x, dtype=dtype)


def convert_to_tensor(
    x: ArrayLike,
    dtype: DTypeLike | None = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
) -> Array:
    """Returns anything like an array as an array.

    Raises:
        ConfigError: a sparse or ragged one is wanted; arrays here are dense.
    """
    if sparse or ragged:
        raise ConfigError("kgraph has dense arrays only", received=f"{sparse=}, {ragged=}")
    return jnp.asarray(x, dtype=dtype)


def saturate_cast(x: ArrayLike, dtype: DTypeLike) -> Array:
    """Returns the array in another dtype; values out of its range become its ends."""
    x, wanted = jnp.asarray(x), jnp.dtype(dtype)
    if wanted == jnp.bool_:
        return jnp.clip(x, 0, 1).astype(wanted)
    low, high = _ends(wanted)
    own_low, own_high = _ends(x.dtype)
    ends = np.array([max(low, own_low), min(high, own_high)]).astype(x.dtype)
    if jnp.issubdtype(x.dtype, jnp.floating) and jnp.issubdtype(wanted, jnp.integer):
        # The nearest float may lie beyond the largest whole number.
        ends = [np.nextafter(e, e.dtype.type(0)) if not low <= int(e) <= high else e for e in ends]
    return jnp.clip(x, ends[0], ends[1]).astype(wanted)


def _ends(dtype: DTypeLike) -> tuple[Any, Any]:
    if dtype == jnp.bool_:
        return 0, 1
    info = jnp.finfo(dtype) if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype)
    return info.min, info.max


def view(x: Array, dtype: DTypeLike | None = None) -> Array:
    """Returns the same bytes read as another dtype; the last axis changes in size."""
    return jnp.asarray(x).view(dtype)


def size(x: Any) -> Array:
    """Returns the number of entries, as an array of no axes."""
    return jnp.asarray(np.size(x) if not hasattr(x, "shape") else x.size, jnp.int32)


# --- of symbolic tensors too, without a node ------------------------------------------------------


def shape(x: Any) -> Shape:
    """Returns the shape; of a symbolic tensor with None for sizes that are not known yet."""
    return tuple(x.shape) if hasattr(x, "shape") else jnp.shape(x)


def ndim(x: ArrayLike) -> int:
    """Returns the number of axes."""
    return len(shape(x))


def dtype(x: Any) -> str:
    """Returns the name of the dtype."""
    return str(x.dtype) if hasattr(x, "dtype") else str(jnp.asarray(x).dtype)


def is_tensor(x: ArrayLike) -> bool:
    """Tells whether `x` is an array of JAX or a symbolic tensor."""
    return isinstance(x, (jax.Array, SymbolicTensor))


def convert_to_numpy(x: ArrayLike) -> np.ndarray:
    """Returns a copy of an array on the host."""
    return np.array(x)


# --- functions of functions -----------------------------------------------------------------------


def vectorize(
    pyfunc: Function, *, excluded: Sequence[int | str] | None = None, signature: str | None = None
) -> Function:
    """Returns a function of arrays that calls `pyfunc` for each entry (see `jnp.vectorize`)."""
    return jnp.vectorize(pyfunc, excluded=frozenset(excluded or ()), signature=signature)


def custom_gradient(f: Function) -> Function:
    """Returns `f` with a gradient of its own: `f` returns its result, and a function that makes
    the gradients by its arguments from that by the result.

    >>> @custom_gradient
    ... def double_slope(x):
    ...     return x, lambda upstream: 2 * upstream
    >>> print(jax.grad(double_slope)(1.0))
    2.0
    """
    return jax.custom_gradient(f)
