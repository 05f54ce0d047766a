"""RandomCrop: a window of images, at a random place."""

from __future__ import annotations

from typing import Any, Unpack

import jax
import jax.numpy as jnp

from kgraph.checks import check_count
from kgraph.layers.base.core import next_key
from kgraph.layers.base.options import OptionsButName
from kgraph.layers.image.base import ImageLayer
from kgraph.layers.image.window import crop_or_fit, fit
from kgraph.types import Array


class RandomCrop(ImageLayer):
    """Cuts out a window at a random place, the same one for all images of a batch, in training.

    Outside of training, and of images that are lower or narrower than the window, the result is
    the largest window in the middle that has the ratio of the result, resized.

    Shapes: `[batch, height, width, channels]` or one image (`channels_first`: channels before
    height), height and width of the options out. Dtype: integers become floats.

    Args:
        height, width: size of the result.
        seed: a number decides the draws in the place of the layer's path.
        data_format: by default `image_data_format()`.

    Raises:
        ConfigError: a size is not a positive whole number.

    >>> import numpy as np
    >>> RandomCrop(4, 6)(np.zeros((2, 8, 8, 3)), training=True).shape
    (2, 4, 6, 3)
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        name: str | None = None,
        **options: Unpack[OptionsButName],
    ) -> None:
        super().__init__(data_format, name=name, **options)
        owner = type(self).__name__
        self.size = check_count(owner, "height", height), check_count(owner, "width", width)
        self.seed = seed

    def draw_batch(self, images: Array) -> Any:
        """Returns the top left corner of the window."""
        keys = jax.random.split(next_key(self))
        rooms = [have - wanted for have, wanted in zip(self.size_of(images), self.size)]
        counts = [jnp.maximum(jnp.asarray(room, jnp.int32), 0) + 1 for room in rooms]
        return tuple(
            jax.random.randint(key, (), 0, count, jnp.int32) for key, count in zip(keys, counts)
        )

    def change_images(self, images: Array, drawn: Any) -> Array:
        return self._cropped(images.astype(self.compute_dtype), drawn, "bilinear")

    def change_masks(self, masks: Array, drawn: Any) -> Array:
        return self._cropped(masks, drawn, "nearest")

    def _cropped(self, images: Array, start: Any, method: str) -> Array:
        if start is None:
            return fit(images, self.height_axis, self.size, method)
        return crop_or_fit(images, self.height_axis, self.size, start, method)
