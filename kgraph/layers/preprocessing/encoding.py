"""From numbers of categories to one-hot, multi-hot and count vectors."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kgraph.errors import ConfigError, check_choice
from kgraph.types import Array, DTypeLike

INT, ONE_HOT, MULTI_HOT, COUNT = MODES = ("int", "one_hot", "multi_hot", "count")


def check_encoding(owner: str, output_mode: object, sparse: object, modes: tuple[str, ...]) -> None:
    """Raises ConfigError for an output mode that is not one of `modes`, and for sparse outputs."""
    check_choice(owner, "output_mode", output_mode, modes)
    if sparse:
        raise ConfigError(
            f"{owner} has dense outputs",
            expected="sparse=False",
            received=f"sparse={sparse!r}",
            hint="keep numbers (output_mode='int') and look rows up with Embedding",
        )


def encode(
    numbers: Array, output_mode: str, depth: int, dtype: DTypeLike, weights: Array | None = None
) -> Array:
    """Returns category numbers in one of the output modes.

    Shapes: `[*any]` in. `"int"`: the same; `"one_hot"`: `[*any, depth]`, where a last axis of size
    1 is replaced; `"multi_hot"` and `"count"`: the last axis, which holds one sample, becomes
    `depth`. A scalar counts as a sample of one.

    Args:
        numbers: from 0 to `depth - 1`; any other gives zeros.
        output_mode: one of `MODES`.
        depth: number of categories.
        dtype: of the result.
        weights: how much each number counts, in the shape of `numbers` (mode `"count"`).
    """
    if output_mode == INT:
        return numbers.astype(dtype)
    if numbers.ndim == 0:
        numbers = numbers[None]
    if not jnp.issubdtype(numbers.dtype, jnp.integer):
        numbers = numbers.astype(jnp.int32)
    if output_mode == ONE_HOT:
        replaced = numbers.ndim > 1 and numbers.shape[-1] == 1
        return jax.nn.one_hot(numbers[..., 0] if replaced else numbers, depth, dtype=dtype)
    one_hot = jax.nn.one_hot(numbers, depth, dtype=dtype)
    if output_mode == MULTI_HOT:
        return jnp.max(one_hot, axis=-2, initial=0)
    if weights is not None:
        one_hot = one_hot * weights.astype(dtype).reshape(numbers.shape)[..., None]
    return jnp.sum(one_hot, axis=-2)
