"""Random arrays. Every function takes a seed as `draw_key` does; the numbers are not Keras'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from kgraph import config
from kgraph.checks import check_rate
from kgraph.errors import ConfigError
from kgraph.random.seeds import SeedGenerator, draw_key
from kgraph.types import Array, ArrayLike, DTypeLike

Sizes = Sequence[int]


def normal(
    shape: Sizes,
    mean: ArrayLike = 0.0,
    stddev: ArrayLike = 1.0,
    dtype: DTypeLike | None = None,
    seed: int | SeedGenerator | None = None,
) -> Array:
    """Draws from the normal distribution.

    >>> normal((2, 3), seed=1).shape
    (2, 3)
    """
    dtype = _floating("normal", dtype)
    drawn = jax.random.normal(draw_key(seed), tuple(shape), dtype)
    return drawn * jnp.asarray(stddev, dtype) + jnp.asarray(mean, dtype)


def truncated_normal(
    shape: Sizes,
    mean: ArrayLike = 0.0,
    stddev: ArrayLike = 1.0,
    dtype: DTypeLike | None = None,
    seed: int | SeedGenerator | None = None,
) -> Array:
    """Draws from the normal distribution within two standard deviations of its mean."""
    dtype = _floating("truncated_normal", dtype)
    drawn = jax.random.truncated_normal(draw_key(seed), -2.0, 2.0, tuple(shape), dtype)
    return drawn * jnp.asarray(stddev, dtype) + jnp.asarray(mean, dtype)


def uniform(
    shape: Sizes,
    minval: ArrayLike = 0.0,
    maxval: ArrayLike = 1.0,
    dtype: DTypeLike | None = None,
    seed: int | SeedGenerator | None = None,
) -> Array:
    """Draws evenly from `minval` up to, and without, `maxval`."""
    dtype = _floating("uniform", dtype)
    low, high = jnp.asarray(minval, dtype), jnp.asarray(maxval, dtype)
    return jax.random.uniform(draw_key(seed), tuple(shape), dtype, low, high)


def randint(
    shape: Sizes,
    minval: int | Array,
    maxval: int | Array,
    dtype: DTypeLike = "int32",
    seed: int | SeedGenerator | None = None,
) -> Array:
    """Draws whole numbers evenly from `minval` up to, and without, `maxval`."""
    if not jnp.issubdtype(jnp.dtype(dtype), jnp.integer):
        raise ConfigError("random.randint needs a dtype of whole numbers", received=str(dtype))
    return jax.random.randint(draw_key(seed), tuple(shape), minval, maxval, jnp.dtype(dtype))


def categorical(
    logits: Array,
    num_samples: int,
    dtype: DTypeLike = "int32",
    seed: int | SeedGenerator | None = None,
) -> Array:
    """Draws class numbers, `[batch, num_samples]`, by the logits `[batch, classes]` of each row."""
    logits = jnp.asarray(logits)
    if logits.ndim != 2:
        raise ConfigError(
            "random.categorical needs logits [batch, classes]", received=tuple(logits.shape)
        )
    shape = (num_samples, logits.shape[0])
    drawn = jax.random.categorical(draw_key(seed), logits, axis=-1, shape=shape)
    return drawn.T.astype(dtype)


def gamma(
    shape: Sizes,
    alpha: ArrayLike,
    dtype: DTypeLike | None = None,
    seed: int | SeedGenerator | None = None,
) -> Array:
    """Draws from the gamma distribution with shape `alpha` and scale 1."""
    dtype = _floating("gamma", dtype)
    return jax.random.gamma(draw_key(seed), jnp.asarray(alpha, dtype), tuple(shape), dtype)


def beta(
    shape: Sizes,
    alpha: ArrayLike,
    beta: ArrayLike,
    dtype: DTypeLike | None = None,
    seed: int | SeedGenerator | None = None,
) -> Array:
    """Draws from the beta distribution."""
    dtype = _floating("beta", dtype)
    parameters = jnp.asarray(alpha, dtype), jnp.asarray(beta, dtype)
    return jax.random.beta(draw_key(seed), *parameters, tuple(shape), dtype)


def binomial(
    shape: Sizes,
    counts: ArrayLike,
    probabilities: ArrayLike,
    dtype: DTypeLike | None = None,
    seed: int | SeedGenerator | None = None,
) -> Array:
    """Draws how many of `counts` trials succeed, each with a probability; as floats."""
    dtype = _floating("binomial", dtype)
    trials, chance = jnp.asarray(counts, dtype), jnp.asarray(probabilities, dtype)
    return jax.random.binomial(draw_key(seed), trials, chance, tuple(shape), dtype)


def shuffle(x: ArrayLike, axis: int = 0, seed: int | SeedGenerator | None = None) -> Array:
    """Returns the slices along an axis in random order."""
    return jax.random.permutation(draw_key(seed), jnp.asarray(x), axis)


def dropout(
    inputs: ArrayLike,
    rate: float,
    noise_shape: Sequence[int | None] | None = None,
    seed: int | SeedGenerator | None = None,
) -> Array:
    """Returns the inputs with a share of them set to 0, and the rest scaled by `1 / (1 - rate)`.

    Args:
        inputs: floats.
        rate: share of values dropped, from 0 to 1.
        noise_shape: shape of the draws: 1 where an axis shares one, None for the inputs' size.
        seed: see `draw_key`.
    """
    inputs = jnp.asarray(inputs)
    check_rate("random.dropout", "rate", rate)
    if rate == 0:
        return inputs
    if rate == 1:
        return jnp.zeros_like(inputs)
    wanted = inputs.shape if noise_shape is None else noise_shape
    shape = [own if size is None else size for size, own in zip(wanted, inputs.shape)]
    kept = jax.random.bernoulli(draw_key(seed), 1 - rate, shape)
    return jnp.where(kept, inputs / (1 - rate), 0)


def _floating(name: str, dtype: DTypeLike | None) -> Any:
    found = jnp.dtype(dtype or config.floatx())
    if not jnp.issubdtype(found, jnp.floating):
        raise ConfigError(f"random.{name} needs a dtype of floats", received=str(found))
    return found
