"""Functions of NumPy and of core that Keras calls, or means, otherwise than JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from kgraph.config import is_flash_attention_disabled
from kgraph.errors import ConfigError
from kgraph.layers.attention.fused import Seen, attention
from kgraph.ops.arguments import as_arrays
from kgraph.types import Array

__all__ = [
    "cdist", "divide_no_nan", "dot_product_attention", "einsum", "logdet", "pad", "polar",
    "unstack", "view_as_complex", "view_as_real",
]  # fmt: skip


def einsum(subscripts: str, *operands: Any, optimize: Any = "auto", **options: Any) -> Array:
    """Sums products over axes named by letters (see `jnp.einsum`)."""
    # "optimal" may take for ever
    arrays = (as_arrays("operand", operand) for operand in operands)
    return jnp.einsum(subscripts, *arrays, optimize=optimize, **options)


def pad(
    x: Array, pad_width: Any, mode: str = "constant", constant_values: Any = None, **options: Any
) -> Array:
    """Adds borders: a pair of widths for each axis, or one for all."""
    if constant_values is not None:
        if mode != "constant":
            raise ConfigError(
                "ops.pad takes constant_values only with mode='constant'", received=f"mode={mode!r}"
            )
        options["constant_values"] = constant_values
    return jnp.pad(as_arrays("x", x), pad_width, mode, **options)


def unstack(x: Array, num: int | None = None, axis: int = 0) -> list[Array]:
    """Returns the slices along an axis, which is gone in them.

    Raises:
        ConfigError: there are not `num` of them, or it is unknown how many there are.
    """
    size = x.shape[axis]
    if isinstance(size, int):
        if num is not None and size != num:
            raise ConfigError(
                f"ops.unstack finds another number of slices along axis {axis}",
                expected=f"{num}, as `num` says", received=size,
            )  # fmt: skip
        return list(jnp.unstack(x, axis=axis))
    if num is None:
        raise ConfigError(
            f"ops.unstack does not know how many slices there are along axis {axis}",
            received=str(list(x.shape)), hint="ops.unstack(x, num=4), or Input with this size",
        )  # fmt: skip
    return [jnp.take(x, row, axis=axis) for row in range(num)]


def divide_no_nan(x1: Array, x2: Array) -> Array:
    """Returns `x1 / x2`, and 0 where `x2` is 0."""
    zero = jnp.equal(x2, 0)
    return jnp.where(zero, 0, jnp.divide(x1, jnp.where(zero, jnp.ones_like(x2), x2)))


def cdist(x: Array, y: Array) -> Array:
    """Returns the Euclidean distance of each row of `x` from each of `y`.

    Shapes: `[*batch, m, features]` and `[*batch, n, features]` in, `[*batch, m, n]` out. The
    differences are taken first: products would lose the digits of small distances.

    Raises:
        ConfigError: they are no rows of equally many features.
    """
    x, y = jnp.asarray(x), jnp.asarray(y)
    if x.ndim < 2 or y.ndim < 2 or x.shape[-1] != y.shape[-1]:
        raise ConfigError(
            "cdist needs rows of equally many features",
            expected="[*batch, m, features] and [*batch, n, features]",
            received=f"{list(x.shape)} and {list(y.shape)}",
        )
    apart = jnp.expand_dims(x, -2) - jnp.expand_dims(y, -3)
    return jnp.sqrt(jnp.sum(jnp.square(apart), axis=-1))


def logdet(x: Array) -> Array:
    """Returns the logarithm of the absolute determinant of each matrix."""
    return jnp.linalg.slogdet(x)[1]


def polar(abs_: Array, angle: Array) -> Array:
    """Returns complex numbers of these lengths and angles."""
    return jax.lax.complex(abs_ * jnp.cos(angle), abs_ * jnp.sin(angle))


def view_as_complex(x: Array) -> Array:
    """Returns `[..., 2]`, real and imaginary parts, as complex numbers `[...]`."""
    return jax.lax.complex(x[..., 0], x[..., 1])


def view_as_real(x: Array) -> Array:
    """Returns complex numbers `[...]` as real and imaginary parts, `[..., 2]`."""
    return jnp.stack([jnp.real(x), jnp.imag(x)], axis=-1)


def dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
    **options: Any,
) -> Array:
    """Returns attention over `[batch, time, heads, features]` (see `jax.nn.dot_product_attention`).

    Args:
        query, key, value: as there; so are bias, mask, scale and is_causal.
        flash_attention: see `MultiHeadAttention`; without bias and further options.
        attn_logits_soft_cap: None; JAX's function has none.
        options: further ones of JAX's function.
    """
    if attn_logits_soft_cap is not None:
        raise ConfigError(
            "ops.dot_product_attention has no soft cap", received=f"{attn_logits_soft_cap=}"
        )
    same = all(x.ndim == 4 and x.shape[3:] == query.shape[3:] for x in (query, key, value))
    if same and bias is None and not options and query.dtype != jnp.float64:
        if flash_attention is None and is_flash_attention_disabled():
            flash_attention = False
        seen = Seen(mask, is_causal, is_simple=mask is None)
        factor = query.shape[-1] ** -0.5 if scale is None else scale
        return attention(query, key, value, seen, factor, flash_attention, "dot_product_attention")
    if flash_attention:
        raise ConfigError(
            "ops.dot_product_attention has no fused kernel for these arguments",
            expected="4 axes, 16 or 32 bits, no bias and no further options",
            received=f"{bias is not None=}, {sorted(options)=}, {query.dtype}{query.shape}",
            hint="flash_attention=None takes one where that is possible",
        )
    return jax.nn.dot_product_attention(
        query, key, value, bias, mask, scale=scale, is_causal=is_causal, **options
    )
