"""Brings targets, outputs, weights and masks to one dtype and one shape, or says why it cannot."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from kgraph.errors import DataError
from kgraph.types import Array, ArrayLike, DTypeLike


def wide_dtype(*dtypes: Any) -> Any:
    """Returns the float type to compute in: the widest of `dtypes`, and never less than float32."""
    # Not by promotion rules: under strict ones bfloat16 and float32 have no common type.
    floats = [d for d in dtypes if d is not None and jnp.issubdtype(d, jnp.floating)]
    return max((jnp.dtype(d) for d in (jnp.float32, *floats)), key=lambda d: d.itemsize)


def wide(x: ArrayLike, dtype: DTypeLike | None = None) -> Array:
    """Returns `x` as an array of floats of at least 32 bits (of `dtype`, where one is given).

    A loss or a metric summed in bfloat16 keeps three digits, so short floats never get that far.
    """
    x = jnp.asarray(x)
    return x.astype(wide_dtype(x.dtype if dtype is None else dtype))


def same_rank(a: Array, b: Array) -> tuple[Array, Array]:
    """Adds or drops a trailing axis of size 1 where that alone makes the ranks equal.

    A vector is widened (`[n]` becomes `[n, 1]`); everything else loses its trailing axis.
    """
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        return (a, b[..., None]) if b.ndim == 1 else (a[..., 0], b)
    if b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        return (a[..., None], b) if a.ndim == 1 else (a, b[..., 0])
    return a, b


def paired(
    owner: str, y_true: ArrayLike, y_pred: ArrayLike, hint: str | None = None
) -> tuple[Array, Array]:
    """Returns targets and outputs as wide floats of one shape.

    Raises:
        DataError: if the shapes differ. NumPy's rules would stretch `[n, 1]` against `[n, 3]`, and
            a model would train on the wrong numbers without a word.
    """
    y_pred = wide(y_pred)
    y_true, y_pred = same_rank(jnp.asarray(y_true).astype(y_pred.dtype), y_pred)
    if y_true.shape != y_pred.shape:
        raise DataError(
            f"{owner} needs targets of the shape of the outputs",
            expected=f"y_true {y_pred.shape}, the shape of y_pred",
            received=f"y_true {y_true.shape}",
            hint=hint,
        )
    return y_true, y_pred


def fit_weights(values: Array, weights: Array, what: str = "sample_weight") -> tuple[Array, Array]:
    """Brings weights (or a mask) to the rank of the values that they multiply.

    Weights speak of the leading axes: `[n]` weighs the rows of `[n, time]`. A scalar value (a loss
    over the whole batch) takes weights of any shape.

    Returns: values and weights whose product broadcasts only the weights' axes of size 1.

    Raises:
        DataError: if the shapes do not fit.
    """
    values, weights = same_rank(values, weights)
    if values.ndim == 0:
        return jnp.broadcast_to(values, weights.shape), weights
    given = weights.shape
    if weights.ndim < values.ndim:
        weights = weights.reshape(given + (1,) * (values.ndim - weights.ndim))
    fits = weights.ndim == values.ndim and all(
        w in (1, v) for w, v in zip(weights.shape, values.shape, strict=True)
    )
    if not fits:
        raise DataError(
            f"`{what}` does not fit the values that it weighs",
            expected=f"the leading sizes of {values.shape}",
            received=f"{given}",
            hint="give one number for each sample, or for each value that the loss returns",
        )
    return values, weights


def divide_or_zero(a: Array, b: Array) -> Array:
    """Returns `a / b`, and 0 where `b` is 0 (in the gradient too)."""
    empty = b == 0
    return jnp.where(empty, jnp.zeros_like(a), a / jnp.where(empty, jnp.ones_like(b), b))
