"""Sums of floats that stay exact: a float32 alone stops counting at 2^24."""

from __future__ import annotations

import jax.numpy as jnp

from kgraph.types import Array


def precise_sum(total: Array, rest: Array, increment: Array) -> tuple[Array, Array]:
    """Adds to a sum that is kept as two floats, `total + rest`, about 48 bits together.

    Returns: the new pair; `total` is the sum rounded to its dtype, `rest` what the rounding left.

    Source: Knuth's TwoSum and Dekker's Fast2Sum. XLA keeps the order of float additions, so the
        differences below are not simplified away (a test runs them jitted).
    """
    high = total + increment
    taken = high - total
    error = (total - (high - taken)) + (increment - taken)
    # An infinite sum has no rounding error, and inf - inf above is NaN.
    low = jnp.where(jnp.isfinite(high), rest + error, jnp.zeros_like(high))
    rounded = high + low
    left = jnp.where(jnp.isfinite(rounded), low - (rounded - high), jnp.zeros_like(rounded))
    return rounded, left
