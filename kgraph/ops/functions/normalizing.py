"""Moments and normalisation as functions. Statistics are float32 at least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from kgraph import config
from kgraph.checks import is_whole
from kgraph.errors import ConfigError
from kgraph.layers.base.context import widened
from kgraph.layers.normalization.statistics import along, normalise, wide_dtype
from kgraph.types import Array

__all__ = [
    "batch_normalization", "layer_normalization", "moments", "normalize", "rms_normalization",
]  # fmt: skip


def moments(
    x: Array, axes: int | Sequence[int], keepdims: bool = False, synchronized: bool = False
) -> tuple[Array, Array]:
    """Returns mean and variance over axes, in the dtype of `x`.

    Args:
        x: floats.
        axes: reduced over.
        keepdims: whether they stay, with size 1.
        synchronized: accepted; means over a sharded batch are over all of it in any case.
    """
    wide = x.astype(wide_dtype(x.dtype))
    places = _places(axes, x.ndim)
    mean = jnp.mean(wide, places, keepdims=keepdims)
    variance = jnp.var(wide, places, keepdims=keepdims)
    ends = jnp.finfo(x.dtype)
    return tuple(jnp.clip(v, ends.min, ends.max).astype(x.dtype) for v in (mean, variance))  # type: ignore[return-value]


def batch_normalization(
    x: Array,
    mean: Array,
    variance: Array,
    axis: int,
    offset: Array | None = None,
    scale: Array | None = None,
    epsilon: float = 1e-3,
) -> Array:
    """Returns `(x - mean) / sqrt(variance + epsilon) * scale + offset`, all along an axis."""
    places = _places(axis, x.ndim)
    factor = jax.lax.rsqrt(variance + epsilon)
    factor = factor if scale is None else factor * scale
    outputs = (x - along(mean, places, x.ndim)) * along(factor, places, x.ndim)
    return outputs if offset is None else outputs + along(offset, places, x.ndim)


def layer_normalization(
    x: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    axis: int | Sequence[int] = -1,
    epsilon: float | None = None,
    **kwargs: Any,
) -> Array:
    """Returns `x` with mean 0 and variance 1 over axes, times `gamma`, plus `beta`.

    Raises:
        ConfigError: another option is given, such as Keras' old `rms_scaling`.
    """
    if kwargs:
        raise ConfigError(
            f"ops.layer_normalization has no option {next(iter(kwargs))!r}",
            hint="rms_normalization divides by the root mean square",
        )
    places = _places(axis, x.ndim)
    wide = x.astype(wide_dtype(x.dtype))
    outputs = normalise(wide, places, config.epsilon() if epsilon is None else epsilon)
    if gamma is not None:
        outputs = outputs * _weight(gamma, places, outputs)
    if beta is not None:
        outputs = outputs + _weight(beta, places, outputs)
    return outputs.astype(x.dtype)


def rms_normalization(
    x: Array,
    scale: Array | None = None,
    axis: int | Sequence[int] = -1,
    epsilon: float | None = None,
) -> Array:
    """Returns `x` divided by its root mean square over axes, times `scale`."""
    places = _places(axis, x.ndim)
    wide = x.astype(wide_dtype(x.dtype))
    mean_square = jnp.mean(jnp.square(wide), places, keepdims=True)
    outputs = wide * jax.lax.rsqrt(mean_square + (config.epsilon() if epsilon is None else epsilon))
    if scale is not None:
        outputs = outputs * _weight(scale, places, outputs)
    return outputs.astype(x.dtype)


def normalize(
    x: Array, axis: int | Sequence[int] = -1, order: int = 2, epsilon: float | None = None
) -> Array:
    """Returns `x` divided by its norm over an axis; a norm below `epsilon` counts as `epsilon`.

    Raises:
        ConfigError: `order` is not a whole number from 1.
    """
    if not is_whole(order, least=1):
        raise ConfigError("ops.normalize needs a whole number from 1 as `order`", received=order)
    x = jnp.atleast_1d(x)
    wide, least = widened(x), config.epsilon() if epsilon is None else epsilon
    if order == 2:
        square = jnp.sum(jnp.square(wide), axis, keepdims=True)
        scaled = wide * jnp.minimum(jax.lax.rsqrt(square), 1.0 / least)
    else:
        scaled = wide / jnp.maximum(jnp.linalg.norm(wide, order, axis, keepdims=True), least)
    return scaled.astype(x.dtype) if wide is not x else scaled


def _places(axes: int | Sequence[int], rank: int) -> tuple[int, ...]:
    several = axes if isinstance(axes, Sequence) else (axes,)
    return tuple(sorted(axis % rank for axis in several))


def _weight(weight: Array, places: tuple[int, ...], like: Array) -> Array:
    """Returns a weight along `places`, or of all axes, in the dtype of `like`."""
    weight = jnp.asarray(weight).astype(like.dtype)
    return weight if weight.ndim == like.ndim else along(weight, places, like.ndim)
