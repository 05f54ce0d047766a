"""Batch renormalisation: the numbers of a batch, corrected towards those of many batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from kgraph.errors import ConfigError, check_keys
from kgraph.types import Array, DTypeLike, Function


def root(of: Function, shape: Sequence[int], dtype: DTypeLike) -> Array:
    """Returns the deviations that start where an initializer starts the variances."""
    return jnp.sqrt(of(shape, dtype))


def check_clipping(owner: str, clipping: Mapping[str, float] | None) -> dict[str, float]:
    """Returns the limits `rmin`, `rmax` and `dmax` as far as they are given.

    Raises:
        ConfigError: another one is given, or they exclude every correction.
    """
    limits = dict(clipping or {})
    check_keys(f"renorm_clipping of {owner}", limits, ("rmin", "rmax", "dmax"))
    if limits.get("rmin", 0) > limits.get("rmax", float("inf")) or limits.get("dmax", 0) < 0:
        raise ConfigError(
            f"{owner} cannot clip by these limits",
            expected="rmin <= rmax and dmax >= 0",
            received=f"renorm_clipping={limits}",
        )
    return limits


def correction(
    mean: Array,
    deviation: Array,
    moving_mean: Array,
    moving_deviation: Array,
    limits: Mapping[str, float],
) -> tuple[Array, Array]:
    """Returns factor `r` and offset `d` that turn values normalised by a batch into corrected ones.

    `x * r + d` is what the moving statistics would have given. Both count as constants in
    gradients.

    Args:
        mean, deviation: of the batch.
        moving_mean, moving_deviation: over the batches before.
        limits: bounds of `r` (`rmin`, `rmax`) and of the size of `d` (`dmax`).
    """
    r = deviation / moving_deviation
    d = (mean - moving_mean) / moving_deviation
    r = jnp.clip(r, limits.get("rmin"), limits.get("rmax"))
    if "dmax" in limits:
        d = jnp.clip(d, -limits["dmax"], limits["dmax"])
    return jax.lax.stop_gradient(r), jax.lax.stop_gradient(d)
