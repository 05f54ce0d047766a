"""RandomShear: slanted images."""

from __future__ import annotations

from typing import Unpack

import jax
import jax.numpy as jnp

from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.factors import Factor, Range, factor_range, uniform
from kgraph.layers.image.warp import RandomWarp
from kgraph.types import Array


class RandomShear(RandomWarp):
    """Slants each image about its top left corner, in training.

    Shapes and dtype: see `RandomWarp`.

    Args:
        x_factor: by how many columns from one row to the next, from 0 to 1: a pair of numbers, or
            one number `f` for `-f` to `f`. With probability one half both factors change sign.
        y_factor: by how many rows from one column to the next, likewise.
        interpolation, fill_mode, fill_value, data_format, seed: see `RandomWarp`.

    Raises:
        ConfigError: an option has another value.

    >>> import numpy as np
    >>> RandomShear(0.2, 0.1)(np.zeros((2, 8, 8, 3)), training=True).shape
    (2, 8, 8, 3)
    """

    def __init__(
        self,
        x_factor: Factor = 0.0,
        y_factor: Factor = 0.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        data_format: str | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **options)
        self.x_factor = _shear_range("x_factor", x_factor)
        self.y_factor = _shear_range("y_factor", y_factor)

    def draw(self, key: Array, size: tuple[int, ...]) -> tuple[Array, Array]:
        """Returns the slants along x and along y."""
        for_x, for_y, for_sign = jax.random.split(key, 3)
        sign = jnp.where(jax.random.bernoulli(for_sign), 1.0, -1.0).astype(jnp.float32)
        return sign * uniform(for_x, self.x_factor), sign * uniform(for_y, self.y_factor)

    def source(self, x: Array, y: Array, drawn: tuple[Array, Array]) -> tuple[Array, Array]:
        return x + drawn[0] * y, y + drawn[1] * x


def _shear_range(option: str, value: object) -> Range:
    low, high = factor_range("RandomShear", option, value, lowest=0.0)
    return (low, high) if isinstance(value, (list, tuple)) else (-high, high)
