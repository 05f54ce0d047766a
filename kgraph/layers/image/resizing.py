"""Resizing: images of one size from images of any."""

from __future__ import annotations

from typing import Any, Unpack

from kgraph.checks import check_count
from kgraph.errors import ConfigError, check_choice
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.base import ImageLayer
from kgraph.layers.image.window import crop_to_aspect_ratio, pad_to_aspect_ratio, resize
from kgraph.types import Array

_INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")


class Resizing(ImageLayer):
    """Resizes images, in training and outside of it.

    Shapes: `[batch, height, width, channels]` or one image (`channels_first`: channels before
    height), height and width of the options out. Dtype: that of the input; integers are rounded.

    Args:
        height, width: size of the result.
        interpolation: `"bilinear"`, `"nearest"`, `"bicubic"`, `"lanczos3"` or `"lanczos5"`.
        crop_to_aspect_ratio: first cut out the largest window in the middle that has the ratio of
            the result, so that nothing is distorted.
        pad_to_aspect_ratio: first add borders, to the same end.
        fill_mode: how borders are filled: `"constant"`.
        fill_value: value of the borders.
        antialias: whether shrinking averages over all pixels (not for `"nearest"`).
        data_format: by default `image_data_format()`.

    Raises:
        ConfigError: an option has another value, or both aspect ratio options are set.

    >>> import numpy as np
    >>> Resizing(4, 6)(np.zeros((2, 8, 8, 3), "uint8")).shape
    (2, 4, 6, 3)
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        owner = type(self).__name__
        check_choice(owner, "interpolation", interpolation, _INTERPOLATIONS)
        check_choice(owner, "fill_mode", fill_mode, ("constant",))
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ConfigError(
                "Resizing cannot both crop and pad to the aspect ratio",
                expected="one of `crop_to_aspect_ratio` and `pad_to_aspect_ratio`",
                received="both",
            )
        self.size = check_count(owner, "height", height), check_count(owner, "width", width)
        self.interpolation, self.antialias = interpolation, antialias
        self.crops, self.pads = crop_to_aspect_ratio, pad_to_aspect_ratio
        self.fill_value = fill_value

    def change_images(self, images: Array, drawn: Any) -> Array:
        return self._resized(images, self.interpolation)

    def change_masks(self, masks: Array, drawn: Any) -> Array:
        return self._resized(masks, "nearest")

    def _resized(self, images: Array, method: str) -> Array:
        axis, dtype = self.height_axis, images.dtype
        if self.crops:
            images = crop_to_aspect_ratio(images, axis, self.size)
        if self.pads:
            images = pad_to_aspect_ratio(images, axis, self.size, self.fill_value)
        return resize(images, axis, self.size, method, self.antialias, dtype)
