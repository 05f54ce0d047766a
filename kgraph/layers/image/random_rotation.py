"""RandomRotation: turned images."""

from __future__ import annotations

import math
from typing import Unpack

import jax.numpy as jnp

from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.factors import Factor, factor_range, uniform
from kgraph.layers.image.warp import RandomWarp, middle
from kgraph.types import Array


class RandomRotation(RandomWarp):
    """Turns each image about its middle, in training.

    Shapes and dtype: see `RandomWarp`.

    Args:
        factor: by which share of a full turn, from -1 to 1, positive ones counter-clockwise: a pair
            of numbers, or one number `f` for `-f` to `f`.
        fill_mode, interpolation, seed, fill_value, data_format: see `RandomWarp`.

    Raises:
        ConfigError: an option has another value.

    >>> import numpy as np
    >>> half = RandomRotation((0.5, 0.5), interpolation="nearest")
    >>> print(half(np.arange(4.0).reshape(1, 2, 2, 1), training=True)[0, :, :, 0])
    [[3. 2.]
     [1. 0.]]
    """

    def __init__(
        self,
        factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **options)
        self.factor = factor_range("RandomRotation", "factor", factor)

    def draw(self, key: Array, size: tuple[int, ...]) -> Array:
        """Returns the angle in radians."""
        return uniform(key, self.factor) * (2 * math.pi)

    def source(self, x: Array, y: Array, drawn: Array) -> tuple[Array, Array]:
        center_x, center_y = middle(x.shape)
        right, down = x - center_x, y - center_y
        cos, sin = jnp.cos(drawn), jnp.sin(drawn)
        return center_x + cos * right - sin * down, center_y + sin * right + cos * down
