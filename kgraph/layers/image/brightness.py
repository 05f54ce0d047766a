"""Random brightness and contrast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import jax.numpy as jnp

from kgraph.layers.image.base import ImageOptions
from kgraph.layers.image.color import RangedColorLayer
from kgraph.layers.image.factors import Factor, factor_range, uniform
from kgraph.types import Array


class RandomBrightness(RangedColorLayer):
    """Makes images lighter or darker in training: adds one number to all values of an image.

    Shapes: `[batch, height, width, channels]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats.

    Args:
        factor: a share of the value range, -1 (black) to 1 (white), drawn for each image: a number
            `f` draws from `-f` to `f`, a pair from its range.
        value_range: the values of black and white; results are cut off there.
        seed: a number decides the draws in the place of the layer's path.

    Raises:
        ConfigError: `factor` or `value_range` is out of range.

    >>> import numpy as np
    >>> light = RandomBrightness((0.1, 0.1))
    >>> light(np.full((1, 2, 2, 3), 100.0, "float32"), training=True)[0, 0, 0]
    Array([125.5, 125.5, 125.5], dtype=float32)
    """

    def __init__(
        self,
        factor: Factor,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(value_range, seed, **options)
        self.factor = factor_range("RandomBrightness", "factor", factor)

    def draw(self, key: Array, size: tuple[int, ...]) -> Array:
        return uniform(key, self.factor)

    def recolor(self, image: Array, drawn: Array) -> Array:
        low, high = self.value_range
        return self.clipped(image + drawn * (high - low))


class RandomContrast(RangedColorLayer):
    """Moves the values of each channel away from their mean, or towards it, in training.

    Shapes: `[batch, height, width, channels]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats. The mean is taken in float32.

    Args:
        factor: the distance to the mean is multiplied by a number drawn for each image: a number
            `f` draws from `1 - f` to `1 + f`, a pair `(a, b)` from `1 - a` to `1 + b`; 0 to 1.
        value_range: the values of black and white; results are cut off there.
        seed: a number decides the draws in the place of the layer's path.

    Raises:
        ConfigError: `factor` or `value_range` is out of range.

    >>> import numpy as np
    >>> image = np.array([10.0, 20.0, 30.0], "float32").reshape(1, 3, 1)
    >>> out = RandomContrast((0, 0))(image, training=True)
    >>> np.asarray(out).ravel().tolist()
    [10.0, 20.0, 30.0]
    """

    def __init__(
        self,
        factor: Factor,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        **options: Unpack[ImageOptions],
    ) -> None:
        super().__init__(value_range, seed, **options)
        pair = factor if isinstance(factor, (list, tuple)) else (factor, factor)
        less, more = factor_range("RandomContrast", "factor", pair, 0.0)
        self.factor = (1 - less, 1 + more)

    def draw(self, key: Array, size: tuple[int, ...]) -> Array:
        return uniform(key, self.factor)

    def recolor(self, image: Array, drawn: Array) -> Array:
        mean = jnp.mean(image, (0, 1), keepdims=True)
        return self.clipped((image - mean) * drawn + mean)
