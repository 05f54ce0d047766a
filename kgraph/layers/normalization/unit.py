"""UnitNormalization."""

from __future__ import annotations

from typing import Unpack

import jax
import jax.numpy as jnp

from kgraph.layers.base.options import LayerOptions
from kgraph.layers.normalization.statistics import Axes, _Normalization
from kgraph.types import Array

_SMALLEST_SQUARE = 1e-24
"""Floor of the squared length: a zero vector stays zero, and has a gradient."""


class UnitNormalization(_Normalization):
    """Divides each feature vector by its Euclidean length.

    Shapes: `[batch, ..., features]` in, the same out. No weights.
    Dtype: the length is float32 at least; the result has the compute dtype.

    Args:
        axis: the axis or axes over which the length is taken.

    Raises:
        ConfigError: `axis` is not a whole number or a list of them.
        GraphError: the input has no such axis.

    >>> import numpy as np
    >>> UnitNormalization()(np.array([[0.0, 2.0]], "float32")).tolist()
    [[0.0, 1.0]]
    """

    _kgraph_never_builds = True

    def __init__(self, axis: Axes = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(axis, **options)

    def call(self, inputs: Array) -> Array:
        wide = self.widen(inputs)
        square = jnp.sum(jnp.square(wide), self.places(wide.ndim), keepdims=True)
        return self.narrow(wide * jax.lax.rsqrt(jnp.maximum(square, _SMALLEST_SQUARE)))
