"""Linear algebra that Keras calls, or means, otherwise than JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kgraph.layers.base.context import widened
from kgraph.types import Array

__all__ = [
    "cholesky_inverse", "lstsq", "lu_factor", "matrix_rank", "norm", "solve", "solve_triangular",
]  # fmt: skip


def norm(
    x: Array,
    ord: int | str | None = None,
    axis: int | tuple[int, ...] | None = None,
    keepdims: bool = False,
) -> Array:
    """Returns the norm of vectors or matrices, as `jnp.linalg.norm`; sums are float32 at least."""
    x = jnp.asarray(x)
    wide = widened(x)
    found = jnp.linalg.norm(wide, ord=ord, axis=axis, keepdims=keepdims)
    return found.astype(x.dtype) if wide is not x else found


def cholesky_inverse(x: Array, upper: bool = False) -> Array:
    """Returns the inverse of the matrices whose Cholesky factors are given."""
    inverse = jax.scipy.linalg.solve_triangular(
        x, jnp.broadcast_to(jnp.eye(x.shape[-1], dtype=x.dtype), x.shape), lower=not upper
    )
    turned = jnp.swapaxes(inverse, -1, -2)
    return inverse @ turned if upper else turned @ inverse


def lu_factor(x: Array) -> tuple[Array, Array]:
    """Returns both triangular factors in one matrix, and the pivots."""
    return jax.scipy.linalg.lu_factor(x)


def solve(a: Array, b: Array) -> Array:
    """Returns the `x` with `a x = b`; `b` has matrices or, with an axis less than `a`, vectors."""
    if b.ndim == a.ndim - 1:
        return jnp.linalg.solve(a, b[..., None])[..., 0]
    return jnp.linalg.solve(a, b)


def solve_triangular(a: Array, b: Array, lower: bool = False) -> Array:
    """Returns `x` with `a @ x = b`, where `a` is triangular."""
    return jax.scipy.linalg.solve_triangular(a, b, lower=lower)


def lstsq(a: Array, b: Array, rcond: float | None = None) -> Array:
    """Returns the `x` for which `a @ x` is nearest to `b`."""
    return jnp.linalg.lstsq(a, b, rcond)[0]


def matrix_rank(x: Array, tol: float | None = None) -> Array:
    """Returns the number of singular values above `tol`, as int32."""
    values = jnp.linalg.svd(x, compute_uv=False)
    if tol is None:
        largest = jnp.max(values, axis=-1, keepdims=True)
        limit = largest * max(x.shape[-2:]) * jnp.finfo(values.dtype).eps
    else:
        limit = jnp.asarray(tol, values.dtype)
    return jnp.sum(values > limit, axis=-1, dtype=jnp.int32)
