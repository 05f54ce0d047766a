"""Random loss of colour, in part or in whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import jax
import jax.numpy as jnp

from kgraph.checks import check_rate
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.color import RandomColorLayer, RangedColorLayer
from kgraph.layers.image.color_spaces import gray
from kgraph.layers.image.factors import Factor, factor_range, uniform
from kgraph.types import Array


class RandomColorDegeneration(RangedColorLayer):
    """Mixes each image with its grey version in training.

    Shapes: `[batch, height, width, 3 or 1]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats.

    Args:
        factor: share of grey, 0 to 1, drawn for each image: a number `f` draws from 0 to `f`, a
            pair from its range.
        value_range: the values of black and white; results are cut off there.
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.
        seed: a number decides the draws in the place of the layer's path.

    Raises:
        ConfigError: `factor` or `value_range` is out of range.
        GraphError: the images have neither 3 channels nor 1.

    >>> import numpy as np
    >>> color = np.array([200.0, 0.0, 0.0], "float32").reshape(1, 1, 3)
    >>> half_grey = RandomColorDegeneration((0.5, 0.5))(color, training=True)
    >>> print(np.asarray(half_grey).ravel().round(2))
    [129.89  29.89  29.89]
    """

    channels = (1, 3)

    def __init__(
        self,
        factor: Factor,
        value_range: Sequence[float] = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(value_range, seed, data_format=data_format, **options)
        self.factor = factor_range("RandomColorDegeneration", "factor", factor, 0.0)

    def draw(self, key: Array, size: tuple[int, ...]) -> Array:
        return uniform(key, self.factor)

    def recolor(self, image: Array, drawn: Array) -> Array:
        return self.clipped(image + drawn * (gray(image) - image))


class RandomGrayscale(RandomColorLayer):
    """Makes some of the images grey in training; they keep their channels.

    Shapes: `[batch, height, width, 3 or 1]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats.

    Args:
        factor: probability that an image becomes grey.
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.
        seed: a number decides the draws in the place of the layer's path.

    Raises:
        ConfigError: `factor` is not between 0 and 1.
        GraphError: the images have neither 3 channels nor 1.

    >>> import numpy as np
    >>> color = np.array([200.0, 0.0, 0.0], "float32").reshape(1, 1, 3)
    >>> print(np.asarray(RandomGrayscale(1.0)(color, training=True)).ravel().round(2))
    [59.78 59.78 59.78]
    """

    channels = (1, 3)

    def __init__(
        self,
        factor: float = 0.5,
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, data_format=data_format, **options)
        check_rate("RandomGrayscale", "factor", factor)
        self.factor = float(factor)

    def draw(self, key: Array, size: tuple[int, ...]) -> Array:
        return jax.random.bernoulli(key, self.factor)

    def recolor(self, image: Array, drawn: Array) -> Array:
        return jnp.where(drawn, gray(image), image)
