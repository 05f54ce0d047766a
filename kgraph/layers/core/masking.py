"""Masking: marks padded steps."""

from __future__ import annotations

from typing import Unpack

import jax.numpy as jnp

from kgraph.layers.base import InputSpec, Layer
from kgraph.layers.base.options import LayerOptions
from kgraph.types import Array


class Masking(Layer):
    """Masks the steps whose features all equal a value, and sets those features to 0.

    Shapes: `[batch, *steps, features]` in, the same out. Mask: `[batch, *steps]`, True for steps
    that count.

    Args:
        mask_value: what padded steps are filled with.

    >>> from kgraph.layers import Input
    >>> Masking()(Input((10, 3))).mask is not None
    True
    """

    _kgraph_never_builds = True
    supports_masking = True
    input_spec = InputSpec(min_ndim=2)

    def __init__(self, mask_value: float = 0.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.mask_value = mask_value

    def call(self, inputs: Array) -> Array:
        return jnp.where(self._counts(inputs)[..., None], inputs, 0)

    def compute_mask(self, inputs: Array, previous_mask: Array | None = None) -> Array:
        return self._counts(inputs)

    def _counts(self, inputs: Array) -> Array:
        return jnp.any(inputs != jnp.asarray(self.mask_value, inputs.dtype), axis=-1)
