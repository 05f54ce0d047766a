"""RMSNormalization."""

from __future__ import annotations

from typing import Unpack

import jax
import jax.numpy as jnp

from kgraph.checks import check_not_negative
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.normalization.statistics import Axes, _Normalization, along
from kgraph.types import Array, Shape


class RMSNormalization(_Normalization):
    """Divides each feature vector by its root mean square, then rescales it.

    Shapes: `[batch, ..., features]` in, the same out. Weight: `scale`, of the sizes of the axes
    normalised over, ones.
    Dtype: the statistics are float32 at least; the result has the compute dtype.

    Args:
        axis: the axis or axes normalised over.
        epsilon: added to the mean square, so in squared units of the input.

    Raises:
        ConfigError: an option has a value it cannot have.
        GraphError: the size of an axis is unknown, or there is no such axis.

    Source: Zhang and Sennrich, arXiv:1910.07467, equation 4.

    >>> import numpy as np
    >>> layer = RMSNormalization(epsilon=0.0)
    >>> layer(np.array([[3.0, -3.0]], "float32")).tolist()
    [[1.0, -1.0]]
    """

    supports_masking = False  # as in Keras

    def __init__(
        self, axis: Axes = -1, epsilon: float = 1e-6, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(axis, **options)
        check_not_negative(label_of(self), "epsilon", epsilon)
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        self.scale = self.add_weight(self.fix_sizes(input_shape), "ones", name="scale")

    def call(self, inputs: Array) -> Array:
        wide = self.widen(inputs)
        places = self.places(wide.ndim)
        mean_square = jnp.mean(jnp.square(wide), places, keepdims=True)
        normalised = wide * jax.lax.rsqrt(mean_square + self.epsilon)
        return self.narrow(normalised * along(self.scale.astype(wide.dtype), places, wide.ndim))
