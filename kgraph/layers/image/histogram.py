"""Contrast from the values of the image itself: stretched, or spread by the histogram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import jax.numpy as jnp

from kgraph.checks import check_count
from kgraph.errors import ConfigError
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.base import ImageLayer
from kgraph.layers.image.color import BYTES, rescaled, value_limits, widened
from kgraph.types import Array, Function


class ToneLayer(ImageLayer):
    """Base of layers that map the values of each channel of each image, in training or not.

    A subclass writes `remap`, which sees images at least in float32.

    Args:
        value_range: the values of black and white.
        data_format: see `ImageLayer`.
    """

    def __init__(
        self,
        value_range: Sequence[float],
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        self.value_range = value_limits(type(self).__name__, value_range)

    def remap(self, images: Array) -> Array:
        """Returns images, with or without a batch axis, with other values."""
        raise ConfigError(
            f"{type(self).__name__} does not say what it does to values",
            hint="define remap(self, images)",
        )

    def each_plane(self, change: Function, images: Array) -> Array:
        """Returns images whose channels went through a function of `[height, width]`, 0 to 255."""
        channels_last = self.data_format == "channels_last"
        planes = jnp.moveaxis(images, -1, -3) if channels_last else images
        planes = rescaled(planes, self.value_range, BYTES)
        changed = jnp.vectorize(change, signature="(h,w)->(h,w)")(planes)
        changed = rescaled(changed, BYTES, self.value_range)
        return jnp.moveaxis(changed, -3, -1) if channels_last else changed

    def change_images(self, images: Array, drawn: Any) -> Array:
        images = images.astype(self.compute_dtype)
        return self.remap(widened(images)).astype(images.dtype)


class AutoContrast(ToneLayer):
    """Stretches the values of each channel of each image over the whole range.

    A channel with a single value, or with a NaN, stays as it is. Acts in training and inference.

    Shapes: `[batch, height, width, channels]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats.

    Args:
        value_range: the values of black and white.

    Raises:
        ConfigError: `value_range` is no range.

    >>> import numpy as np
    >>> image = np.array([10.0, 20.0, 30.0], "float32").reshape(1, 3, 1)
    >>> np.asarray(AutoContrast()(image)).ravel().tolist()
    [0.0, 127.5, 255.0]
    """

    def __init__(
        self, value_range: Sequence[float] = (0, 255), **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(value_range, **options)

    def remap(self, images: Array) -> Array:
        places = (-2, -1) if self.data_format == "channels_first" else (-3, -2)
        least = jnp.min(images, places, keepdims=True)
        most = jnp.max(images, places, keepdims=True)
        uneven = most > least
        share = (images - least) / jnp.where(uneven, most - least, 1)
        low, high = self.value_range
        return jnp.where(uneven, low + share * (high - low), images)


class Equalization(ToneLayer):
    """Spreads the values of each channel of each image evenly, by its histogram.

    A channel whose values all fall in one bin stays as it is. Acts in training and inference.

    Shapes: `[batch, height, width, channels]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats.

    Args:
        value_range: the values of black and white.
        bins: size of the histogram.
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.

    Raises:
        ConfigError: `value_range` is no range, or `bins` no positive whole number.

    Source: Gonzalez and Woods, "Digital Image Processing", section 3.3.

    >>> import numpy as np
    >>> image = np.array([10.0, 10.0, 20.0, 30.0], "float32").reshape(2, 2, 1)
    >>> np.asarray(Equalization()(image)).ravel().tolist()
    [0.0, 0.0, 128.0, 255.0]
    """

    def __init__(
        self,
        value_range: Sequence[float] = (0, 255),
        bins: int = 256,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(value_range, data_format, **options)
        self.bins = check_count("Equalization", "bins", bins)

    def remap(self, images: Array) -> Array:
        return self.each_plane(self._equalized, images)

    def _equalized(self, plane: Array) -> Array:
        """Returns one channel, values 0 to 255, through the table of its running histogram."""
        found = jnp.clip((plane * (self.bins - 1) / 255).astype(jnp.int32), 0, self.bins - 1)
        counts = jnp.zeros(self.bins, jnp.int32).at[found.reshape(-1)].add(1)
        running = jnp.cumsum(counts)
        total = running[-1]
        first = jnp.min(jnp.where(counts > 0, running, total))
        spread = (running - first).astype(plane.dtype) * 255
        table = jnp.round(spread / jnp.maximum(total - first, 1).astype(plane.dtype))
        return jnp.where(first < total, jnp.clip(table, *BYTES)[found], plane)
