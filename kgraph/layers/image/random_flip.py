"""RandomFlip: mirrored images."""

from __future__ import annotations

from typing import Unpack

import jax
import jax.numpy as jnp

from kgraph.errors import check_choice
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.base import RandomImageLayer
from kgraph.types import Array

_AXES = {"horizontal": (1,), "vertical": (0,), "horizontal_and_vertical": (0, 1)}


class RandomFlip(RandomImageLayer):
    """Mirrors each image with probability one half, in training.

    Shapes: `[batch, height, width, channels]` or one image (`channels_first`: channels before
    height), the same out. Dtype: integers become floats.

    Args:
        mode: `"horizontal"` swaps left and right, `"vertical"` top and bottom, and
            `"horizontal_and_vertical"` both or none (a turn by 180 degrees), as in Keras.
        seed: a number decides the draws in the place of the layer's path.
        data_format: by default `image_data_format()`.

    Raises:
        ConfigError: `mode` is another one.

    >>> import numpy as np
    >>> RandomFlip("horizontal")(np.zeros((2, 8, 8, 3)), training=True).shape
    (2, 8, 8, 3)
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, data_format, **options)
        check_choice(type(self).__name__, "mode", mode, _AXES)
        self.mode = mode

    def draw(self, key: Array, size: tuple[int, ...]) -> Array:
        """Returns whether to mirror."""
        return jax.random.bernoulli(key)

    def transform(self, image: Array, drawn: Array) -> Array:
        return jnp.where(drawn, jnp.flip(image, _AXES[self.mode]), image)

    def transform_mask(self, mask: Array, drawn: Array) -> Array:
        return self.transform(mask, drawn)
