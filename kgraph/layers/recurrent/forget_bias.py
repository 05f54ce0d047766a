"""The start of an LSTM's bias: 1 for the forget gate."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from kgraph.initializers import Initializer, Zeros
from kgraph.types import AnyArray, Array, DTypeLike, Function


class ForgetBias(Initializer):
    """Fills the second of four blocks with 1, and the others as another initializer does.

    Args:
        bias_initializer: of the blocks of the input gate, the candidate and the output gate;
            None for zeros.
    """

    def __init__(self, bias_initializer: Function | None) -> None:
        self.bias_initializer = bias_initializer

    def __call__(
        self, shape: Any, dtype: DTypeLike | None = None, key: AnyArray | None = None
    ) -> Array:
        width = shape[0] // 4
        fill = self.bias_initializer or Zeros()
        options = {"key": key} if isinstance(fill, Initializer) else {}
        others = jnp.asarray(fill((3 * width,), dtype, **options))
        first, rest = jnp.split(others, [width])
        return jnp.concatenate([first, jnp.ones_like(first), rest])
