"""RandomZoom: enlarged and shrunk images."""

from __future__ import annotations

from typing import Unpack

import jax

from kgraph.errors import ConfigError
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.factors import Factor, Range, factor_range, uniform
from kgraph.layers.image.warp import RandomWarp, middle
from kgraph.types import Array


class RandomZoom(RandomWarp):
    """Enlarges or shrinks each image about its middle, in training.

    Shapes and dtype: see `RandomWarp`.

    Args:
        height_factor: above -1 (closer) and up to 1 (farther): with 0.2 the result shows 1.2 times
            the height of the image. A pair of numbers, or one number `f` for `-f` to `f`.
        width_factor: the same for the width; None keeps the ratio of width to height.
        fill_mode, interpolation, seed, fill_value, data_format: see `RandomWarp`.

    Raises:
        ConfigError: an option has another value.

    >>> import numpy as np
    >>> closer = RandomZoom((-0.5, -0.5), interpolation="nearest")
    >>> print(closer(np.arange(4.0).reshape(1, 1, 4, 1), training=True)[0, :, :, 0])
    [[1. 1. 2. 2.]]
    """

    def __init__(
        self,
        height_factor: Factor,
        width_factor: Factor | None = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(fill_mode, interpolation, seed, fill_value, data_format, **options)
        self.height_factor = _zoom_range("height_factor", height_factor)
        self.width_factor = (
            None if width_factor is None else _zoom_range("width_factor", width_factor)
        )

    def draw(self, key: Array, size: tuple[int, ...]) -> tuple[Array, Array]:
        """Returns the shares of width and height that are shown."""
        for_x, for_y = jax.random.split(key)
        height = 1 + uniform(for_y, self.height_factor)
        if self.width_factor is None:
            return height, height
        return 1 + uniform(for_x, self.width_factor), height

    def source(self, x: Array, y: Array, drawn: tuple[Array, Array]) -> tuple[Array, Array]:
        center_x, center_y = middle(x.shape)
        return center_x + (x - center_x) * drawn[0], center_y + (y - center_y) * drawn[1]


def _zoom_range(option: str, value: object) -> Range:
    found = factor_range("RandomZoom", option, value)
    if value == -1 or (isinstance(value, (list, tuple)) and found[0] == -1):
        raise ConfigError(
            f"RandomZoom cannot have this value of `{option}`",
            expected="numbers above -1, so that something is shown",
            received=repr(value),
        )
    return found
