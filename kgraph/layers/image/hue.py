"""Random hue and saturation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import jax
import jax.numpy as jnp

from kgraph.config import epsilon
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.color import UNIT, RangedColorLayer, rescaled
from kgraph.layers.image.color_spaces import hsv_to_rgb, rgb_to_hsv
from kgraph.layers.image.factors import Factor, factor_range, uniform
from kgraph.types import Array


class RandomHue(RangedColorLayer):
    """Turns the colours of each image round the colour circle in training.

    Shapes: `[batch, height, width, 3]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats.

    Args:
        factor: share of half the circle, 0 to 1, drawn for each image with a random direction: a
            number `f` draws from 0 to `f`, a pair from its range.
        value_range: the values of black and white; results are cut off there.
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.
        seed: a number decides the draws in the place of the layer's path.

    Raises:
        ConfigError: `factor` or `value_range` is out of range.
        GraphError: the images do not have 3 channels.

    >>> import numpy as np
    >>> red = np.array([255.0, 0.0, 0.0], "float32").reshape(1, 1, 3)
    >>> half_round = RandomHue((1.0, 1.0))(red, training=True)
    >>> np.asarray(half_round).ravel().tolist()
    [0.0, 255.0, 255.0]
    """

    channels = (3,)

    def __init__(
        self,
        factor: Factor,
        value_range: Sequence[float] = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(value_range, seed, data_format=data_format, **options)
        self.factor = factor_range("RandomHue", "factor", factor, 0.0)

    def draw(self, key: Array, size: tuple[int, ...]) -> Array:
        first, second = jax.random.split(key)
        return 0.5 * uniform(first, self.factor) * jax.random.rademacher(second, (), jnp.float32)

    def recolor(self, image: Array, drawn: Array) -> Array:
        hue, saturation, value = rgb_to_hsv(rescaled(image, self.value_range, UNIT))
        turned = jnp.clip(hsv_to_rgb(hue + drawn, saturation, value), 0, 1)
        return rescaled(turned, UNIT, self.value_range)


class RandomSaturation(RangedColorLayer):
    """Makes the colours of each image stronger or weaker in training.

    Shapes: `[batch, height, width, 3]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats.

    Args:
        factor: 0 (grey) to 1 (as strong as can be), 0.5 changing nothing, drawn for each image: a
            number `f` draws from 0 to `f`, a pair from its range. Saturation is multiplied by
            `factor / (1 - factor)` and ends at full saturation.
        value_range: the values of black and white.
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.
        seed: a number decides the draws in the place of the layer's path.

    Raises:
        ConfigError: `factor` or `value_range` is out of range.
        GraphError: the images do not have 3 channels.

    >>> import numpy as np
    >>> color = np.array([200.0, 100.0, 50.0], "float32").reshape(1, 1, 3)
    >>> print(np.asarray(RandomSaturation((0.0, 0.0))(color, training=True)).ravel().round(2))
    [200. 200. 200.]
    """

    channels = (3,)

    def __init__(
        self,
        factor: Factor,
        value_range: Sequence[float] = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(value_range, seed, data_format=data_format, **options)
        self.factor = factor_range("RandomSaturation", "factor", factor, 0.0)

    def draw(self, key: Array, size: tuple[int, ...]) -> Array:
        factor = uniform(key, self.factor)
        return factor / (1 - factor + epsilon())

    def recolor(self, image: Array, drawn: Array) -> Array:
        hue, saturation, value = rgb_to_hsv(rescaled(image, self.value_range, UNIT))
        strong = jnp.clip(saturation * drawn, 0, 1)
        return rescaled(hsv_to_rgb(hue, strong, value), UNIT, self.value_range)
