"""CenterCrop: the middle of images."""

from __future__ import annotations

from typing import Any, Unpack

from kgraph.checks import check_count
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.base import ImageLayer
from kgraph.layers.image.window import centred, crop_or_fit
from kgraph.types import Array


class CenterCrop(ImageLayer):
    """Cuts out the middle of images, in training and outside of it.

    Images that are lower or narrower than the result are resized: the largest window in the middle
    that has the ratio of the result is brought to its size.

    Shapes: `[batch, height, width, channels]` or one image (`channels_first`: channels before
    height), height and width of the options out. Dtype: integers become floats.

    Args:
        height, width: size of the result.
        data_format: by default `image_data_format()`.

    Raises:
        ConfigError: a size is not a positive whole number.

    >>> import numpy as np
    >>> print(CenterCrop(1, 2)(np.arange(12.0).reshape(1, 3, 4, 1))[0, :, :, 0])
    [[5. 6.]]
    """

    def __init__(
        self,
        height: int,
        width: int,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        owner = type(self).__name__
        self.size = check_count(owner, "height", height), check_count(owner, "width", width)

    def change_images(self, images: Array, drawn: Any) -> Array:
        return self._cropped(images.astype(self.compute_dtype), "bilinear")

    def change_masks(self, masks: Array, drawn: Any) -> Array:
        return self._cropped(masks, "nearest")

    def _cropped(self, images: Array, method: str) -> Array:
        start = centred(images, self.height_axis, self.size)
        return crop_or_fit(images, self.height_axis, self.size, start, method)
