"""RandomTranslation: shifted images."""

from __future__ import annotations

from typing import Unpack

import jax
import jax.numpy as jnp

from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.factors import Factor, factor_range, uniform
from kgraph.layers.image.warp import RandomWarp
from kgraph.types import Array


class RandomTranslation(RandomWarp):
    """Shifts each image, in training.

    Shapes and dtype: see `RandomWarp`.

    Args:
        height_factor: by which share of the height, from -1 (up) to 1 (down): a pair of numbers, or
            one number `f` for `-f` to `f`.
        width_factor: by which share of the width, from -1 (left) to 1 (right), likewise.
        fill_mode, interpolation, seed, fill_value, data_format: see `RandomWarp`.

    Raises:
        ConfigError: an option has another value.

    >>> import numpy as np
    >>> shift = RandomTranslation(0, (0.5, 0.5), fill_mode="constant")
    >>> print(shift(np.arange(4.0).reshape(1, 1, 4, 1), training=True)[0, :, :, 0])
    [[0. 0. 0. 1.]]
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **options)
        self.height_factor = factor_range("RandomTranslation", "height_factor", height_factor)
        self.width_factor = factor_range("RandomTranslation", "width_factor", width_factor)

    def draw(self, key: Array, size: tuple[int, ...]) -> tuple[Array, Array]:
        """Returns by how many pixels the image goes right, and down."""
        for_x, for_y = jax.random.split(key)
        height, width = (jnp.asarray(length, jnp.float32) for length in size)
        right = uniform(for_x, self.width_factor) * width
        return right, uniform(for_y, self.height_factor) * height

    def source(self, x: Array, y: Array, drawn: tuple[Array, Array]) -> tuple[Array, Array]:
        return x - drawn[0], y - drawn[1]
