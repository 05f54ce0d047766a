"""The public names that Keras keeps under `keras.preprocessing.image`."""

from __future__ import annotations

import jax
import numpy as np

from kgraph.errors import DataError, check_choice
from kgraph.layers.image.window import fit
from kgraph.types import AnyArray, ArrayLike
from kgraph.utils.images import array_to_img, data_layout, img_to_array, load_img, save_img
from kgraph.utils.resampling import METHODS, cropped, resized


def smart_resize(
    x: ArrayLike,
    size: tuple[int, int],
    interpolation: str = "bilinear",
    data_format: str = "channels_last",
) -> AnyArray:
    """Returns the largest window in the middle with the ratio of `size`, brought to that size.

    Shapes: `[height, width, channels]` or `[batch, height, width, channels]` (`"channels_first"`:
    channels before height); a NumPy array gives a NumPy array, a JAX array a JAX array.

    Args:
        x: an image or a batch.
        size: height and width.
        interpolation: `"bilinear"`, `"nearest"`, `"bicubic"`, `"lanczos3"` or `"lanczos5"`.
        data_format: `"channels_last"` or `"channels_first"`.

    Raises:
        DataError: `x` has another number of axes, or `size` is no pair.
        ConfigError: another interpolation.
    """
    check_choice("smart_resize", "interpolation", interpolation, METHODS)
    axis = -2 if data_layout("smart_resize", data_format) == "channels_first" else -3
    image = x if isinstance(x, jax.Array) else np.asarray(x)
    if image.ndim not in (3, 4) or len(size) != 2:
        raise DataError(
            "smart_resize takes an image or a batch, and a height and a width",
            received=f"shape {image.shape}, size {size}",
        )
    height, width = size
    if isinstance(image, jax.Array):
        return fit(image, axis, (height, width), interpolation)
    made = resized(cropped(image, (height, width), axis), (height, width), interpolation, axis)
    return made.astype(image.dtype) if image.dtype.kind in "iu" else made


__all__ = ["array_to_img", "img_to_array", "load_img", "save_img", "smart_resize"]
