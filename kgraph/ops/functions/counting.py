"""Classes and counts: one-hot, multi-hot, bins, largest values."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from kgraph.errors import ConfigError
from kgraph.types import Array, ArrayLike, DTypeLike

__all__ = ["bincount", "in_top_k", "multi_hot", "one_hot", "top_k", "unique"]


def one_hot(
    x: ArrayLike,
    num_classes: int,
    axis: int = -1,
    dtype: DTypeLike | None = None,
    sparse: bool = False,
) -> Array:
    """Returns 1 at the place of each class number along a new axis, else 0."""
    _refuse_sparse("one_hot", sparse)
    return jax.nn.one_hot(x, num_classes, axis=axis, dtype=dtype or jnp.float32)


def multi_hot(
    inputs: Any,
    num_classes: int | None = None,
    axis: int = -1,
    dtype: DTypeLike | None = None,
    sparse: bool = False,
    **kwargs: Any,
) -> Array:
    """Returns 1 at the places of all class numbers of a row, else 0.

    Shapes: `[classes]` in, `[num_classes]` out; `[batch, classes, ...]` in, and the numbers of axis
    1 become those of the new axis.
    """
    _refuse_sparse("multi_hot", sparse)
    count = kwargs.pop("num_tokens", num_classes)  # as Keras once called it
    if count is None or kwargs:
        raise ConfigError("multi_hot needs `num_classes`", received=", ".join(kwargs) or None)
    numbers = jnp.asarray(inputs).astype(jnp.int32)
    hot = one_hot(numbers, count, axis, dtype)
    return jnp.max(hot, axis=1 if numbers.ndim > 1 else 0)


def bincount(
    x: ArrayLike,
    weights: Any = None,
    minlength: int = 0,
    sparse: bool = False,
    length: int | None = None,
) -> Array:
    """Counts how often each number from 0 occurs in a vector, or in each row of a matrix.

    Args:
        x: whole numbers, none below 0.
        weights: how much each counts.
        minlength: the least number of counts.
        sparse: False; arrays here are dense.
        length: the number of counts. Without it the largest number decides, so `x` has to be known.
    """
    _refuse_sparse("bincount", sparse)
    x = jnp.asarray(x)
    weights = None if weights is None else jnp.asarray(weights)
    if length is None:
        length = max(int(jnp.max(x, initial=-1)) + 1, minlength)
    if x.ndim < 2:
        return jnp.bincount(x, weights, length=length)
    if weights is None:
        return jax.vmap(lambda row: jnp.bincount(row, length=length))(x)
    return jax.vmap(lambda row, w: jnp.bincount(row, w, length=length))(x, weights)


def top_k(x: Array, k: int, sorted: bool = True) -> list[Array]:
    """Returns the `k` largest values along the last axis, the largest first, and their places."""
    return list(jax.lax.top_k(x, k))


def in_top_k(targets: Array, predictions: Array, k: int) -> Array:
    """Tells for each row whether its target is among the `k` classes with the largest predictions.

    Equal predictions count as one place. Shapes: `[*batch]` and `[*batch, classes]` in, bools
    `[*batch]` out.
    """
    targets, predictions = jnp.asarray(targets), jnp.asarray(predictions)
    own = jnp.take_along_axis(predictions, targets[..., None], axis=-1)
    own = jnp.where(jnp.isnan(own), -jnp.inf, own)
    return jnp.sum(predictions > own, axis=-1) < k


def unique(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """Returns the distinct values (always in order), and what else is asked for.

    Args:
        x: the values.
        sorted: accepted as in Keras.
        return_index, return_inverse, return_counts: see `jnp.unique`.
        axis: whole slices along it are compared.
        size: the number of values returned; needed where `x` is traced.
        fill_value: stands in the places that `size` has too many.
    """
    return jnp.unique(
        x, return_index, return_inverse, return_counts, axis, size=size, fill_value=fill_value
    )


def _refuse_sparse(name: str, sparse: bool) -> None:
    if sparse:
        raise ConfigError(f"ops.{name} has dense results only", received="sparse=True")
