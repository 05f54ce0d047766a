"""Random changes of the scale of tones: inversion, fewer levels, solarisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from kgraph.errors import ConfigError
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.color import BYTES, RangedColorLayer, rescaled
from kgraph.layers.image.factors import Factor, chance, factor_range, uniform
from kgraph.types import Array

_BITS = 8


class RandomInvert(RangedColorLayer):
    """Turns some images into their negative in training.

    Shapes: `[batch, height, width, channels]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats.

    Args:
        factor: probability of inversion, itself drawn for each image: a number `f` draws from 0 to
            `f`, a pair from its range.
        value_range: the values of black and white, which change places.
        seed: a number decides the draws in the place of the layer's path.
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.

    Raises:
        ConfigError: `factor` or `value_range` is out of range.

    >>> import numpy as np
    >>> image = np.array([0.0, 55.0, 255.0], "float32").reshape(1, 3, 1)
    >>> np.asarray(RandomInvert((1.0, 1.0))(image, training=True)).ravel().tolist()
    [255.0, 200.0, 0.0]
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(value_range, seed, data_format=data_format, **options)
        self.factor = factor_range("RandomInvert", "factor", factor, 0.0)

    def draw(self, key: Array, size: tuple[int, ...]) -> Array:
        return chance(key, self.factor)

    def recolor(self, image: Array, drawn: Array) -> Array:
        return jnp.where(drawn, sum(self.value_range) - image, image)


class RandomPosterization(RangedColorLayer):
    """Keeps only the first bits of each value in training.

    Shapes: `[batch, height, width, channels]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats.

    Args:
        factor: how many of 8 bits are kept: a number for all images, or a pair from which each
            image draws, both ends included.
        value_range: the values of black and white.
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.
        seed: a number decides the draws in the place of the layer's path.

    Raises:
        ConfigError: `factor` is not made of whole numbers from 1 to 8, or `value_range` is none.

    Source: Cubuk et al., "AutoAugment", arXiv:1805.09501.

    >>> import numpy as np
    >>> image = np.array([7.0, 100.0, 255.0], "float32").reshape(1, 3, 1)
    >>> np.asarray(RandomPosterization(2)(image, training=True)).ravel().tolist()
    [0.0, 64.0, 192.0]
    """

    def __init__(
        self,
        factor: Factor,
        value_range: Sequence[float] = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(value_range, seed, data_format=data_format, **options)
        pair = factor if isinstance(factor, (list, tuple)) else (factor, factor)
        bits = factor_range("RandomPosterization", "factor", pair, 1, _BITS)
        if any(end != int(end) for end in bits):
            raise ConfigError(
                "RandomPosterization keeps whole bits", expected="1 to 8", received=repr(factor)
            )
        self.factor = int(bits[0]), int(bits[1])

    def draw(self, key: Array, size: tuple[int, ...]) -> Array:
        return jax.random.randint(key, (), self.factor[0], self.factor[1] + 1)

    def recolor(self, image: Array, drawn: Array) -> Array:
        level = jnp.clip(jnp.floor(rescaled(image, self.value_range, BYTES)), *BYTES)
        step = jnp.left_shift(1, _BITS - drawn).astype(image.dtype)
        return rescaled(jnp.floor(level / step) * step, BYTES, self.value_range)


class Solarization(RangedColorLayer):
    """Inverts the values above a threshold in training.

    Shapes: `[batch, height, width, channels]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats.

    Args:
        addition_factor: a share of the value range, 0 to 1, drawn for each image and added first:
            a number `f` draws from 0 to `f`, a pair from its range.
        threshold_factor: the threshold as a share of the value range, drawn likewise.
        value_range: the values of black and white.
        seed: a number decides the draws in the place of the layer's path.

    Raises:
        ConfigError: a factor or `value_range` is out of range.

    Source: Cubuk et al., "AutoAugment", arXiv:1805.09501.

    >>> import numpy as np
    >>> image = np.array([10.0, 127.0, 200.0], "float32").reshape(1, 3, 1)
    >>> out = Solarization(threshold_factor=(0.5, 0.5))(image, training=True)
    >>> np.asarray(out).ravel().tolist()
    [10.0, 127.0, 55.0]
    """

    def __init__(
        self,
        addition_factor: Factor = 0.0,
        threshold_factor: Factor = 0.0,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(value_range, seed, **options)
        owner = "Solarization"
        self.addition = factor_range(owner, "addition_factor", addition_factor, 0.0)
        self.threshold = factor_range(owner, "threshold_factor", threshold_factor, 0.0)

    def draw(self, key: Array, size: tuple[int, ...]) -> Any:
        first, second = jax.random.split(key)
        return uniform(first, self.addition), uniform(second, self.threshold)

    def recolor(self, image: Array, drawn: Any) -> Array:
        addition, threshold = drawn
        low, high = self.value_range
        light = self.clipped(image + addition * (high - low))
        below = light < low + threshold * (high - low)
        return jnp.where(below, light, low + high - light)
