"""Random keys as the numbers that they are made of: what files and other processes take."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from kgraph.types import Array


def is_key(leaf: Any) -> bool:
    """Tells whether an array, or its spec, is one of typed random keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def as_words(leaf: Any) -> Any:
    """Returns the words of a key, and all else as it is."""
    return jax.random.key_data(leaf) if is_key(leaf) else leaf


def as_key(leaf: Any, words: Array) -> Array:
    """Returns the key of these words where `leaf` is one."""
    return jax.random.wrap_key_data(words, impl="threefry2x32") if is_key(leaf) else words


def spec_of_words(spec: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    """Returns what the words of a key look like and where they lie."""
    if not is_key(spec):
        return spec
    words = jax.eval_shape(jax.random.key_data, spec)
    return jax.ShapeDtypeStruct(words.shape, words.dtype, sharding=spec.sharding)
