"""Random sharpness and blur: sums of shifted images, which no convolution is faster for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from kgraph.checks import is_whole
from kgraph.errors import ConfigError
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.color import RangedColorLayer
from kgraph.layers.image.factors import Factor, chance, factor_range, uniform
from kgraph.types import Array


class RandomSharpness(RangedColorLayer):
    """Sharpens or smooths images in training.

    Shapes: `[batch, height, width, channels]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats.

    Args:
        factor: 0 (smoothed) over 0.5 (as it is) to 1 (sharpened), drawn for each image: a number
            `f` draws from 0 to `f`, a pair from its range.
        value_range: the values of black and white; results are cut off there.
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.
        seed: a number decides the draws in the place of the layer's path.

    Raises:
        ConfigError: `factor` or `value_range` is out of range.

    Source: Cubuk et al., "AutoAugment", arXiv:1805.09501; the kernel is that of Pillow's SMOOTH.

    >>> import numpy as np
    >>> image = np.zeros((3, 3, 1), "float32")
    >>> image[1, 1] = 130
    >>> np.asarray(RandomSharpness((0.0, 0.0))(image, training=True))[1, :, 0].round(3).tolist()
    [10.0, 50.0, 10.0]
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
        self.factor = factor_range("RandomSharpness", "factor", factor, 0.0)

    def draw(self, key: Array, size: tuple[int, ...]) -> Array:
        return uniform(key, self.factor)

    def recolor(self, image: Array, drawn: Array) -> Array:
        ones = jnp.ones(3, image.dtype)
        smooth = (_weighted(_weighted(image, ones, 0), ones, 1) + 4 * image) / 13
        return self.clipped(image + (1 - 2 * drawn) * (smooth - image))


class RandomGaussianBlur(RangedColorLayer):
    """Blurs some images in training; beyond its border an image is 0.

    Shapes: `[batch, height, width, channels]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats.

    Args:
        factor: probability of blur, itself drawn for each image: a number `f` draws from 0 to `f`,
            a pair from its range.
        kernel_size: an odd number of pixels, or a pair for width and height.
        sigma: standard deviation in pixels, 0 to 1, drawn for each image and axis: a number `s`
            draws from 0 to `s`, a pair from its range.
        value_range: the values of black and white; results are cut off there.
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.
        seed: a number decides the draws in the place of the layer's path.

    Raises:
        ConfigError: an option is out of range, or a kernel size is even.

    >>> import numpy as np
    >>> image = np.zeros((3, 3, 1), "float32")
    >>> image[1, 1] = 100
    >>> out = np.asarray(RandomGaussianBlur((1.0, 1.0), 3, (0.5, 0.5))(image, training=True))
    >>> print(out[:, :, 0].round(1))
    [[ 1.1  8.4  1.1]
     [ 8.4 61.9  8.4]
     [ 1.1  8.4  1.1]]
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        kernel_size: int | Sequence[int] = 3,
        sigma: Factor = 1.0,
        value_range: Sequence[float] = (0, 255),
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(value_range, seed, data_format=data_format, **options)
        self.factor = factor_range("RandomGaussianBlur", "factor", factor, 0.0)
        self.sigma = factor_range("RandomGaussianBlur", "sigma", sigma, 0.0)
        self.kernel_size = _odd_pair(kernel_size)

    def draw(self, key: Array, size: tuple[int, ...]) -> Any:
        first, second, third = jax.random.split(key, 3)
        across, down = (uniform(k, self.sigma) + 1e-6 for k in (second, third))  # 0: no blur
        return chance(first, self.factor), across, down

    def recolor(self, image: Array, drawn: Any) -> Array:
        chosen, across, down = drawn
        width, height = self.kernel_size
        blurred = _weighted(image, _gaussian(height, down), 0)
        blurred = _weighted(blurred, _gaussian(width, across), 1)
        return self.clipped(jnp.where(chosen, blurred, image))


def _weighted(image: Array, weights: Array, axis: int) -> Array:
    """Returns the sum of an odd number of copies of an image, each moved by one pixel more."""
    reach = weights.shape[0] // 2
    borders = [(reach, reach) if i == axis else (0, 0) for i in range(image.ndim)]
    padded, length = jnp.pad(image, borders), image.shape[axis]
    moved = [
        jax.lax.slice_in_dim(padded, i, i + length, axis=axis) for i in range(weights.shape[0])
    ]
    return sum((weights[i] * copy for i, copy in enumerate(moved)), jnp.zeros_like(image))


def _gaussian(size: int, sigma: Array) -> Array:
    distance = jnp.arange(size, dtype=sigma.dtype) - (size - 1) / 2
    weights = jnp.exp(-0.5 * (distance / sigma) ** 2)
    return weights / jnp.sum(weights)


def _odd_pair(value: object) -> tuple[int, int]:
    pair: Any = tuple(value) if isinstance(value, (list, tuple)) else (value, value)
    odd = all(is_whole(v, least=1) and v < 1_000 and v % 2 for v in pair)
    if len(pair) != 2 or not odd:
        raise ConfigError(
            "RandomGaussianBlur cannot have this value of `kernel_size`",
            expected="an odd number below 1000, or a pair of them for width and height",
            received=repr(value),
        )
    return pair
