"""Enlarging of 1, 2 or 3 spatial axes by whole factors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

import jax
import jax.numpy as jnp

from kgraph.errors import check_choice
from kgraph.layers.base import InputSpec, Layer
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.reshaping.spatial import factors, first_spatial_axis, layout
from kgraph.types import Array

_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")


class _UpSampling(Layer):
    """Repeats (or interpolates) values along the spatial axes."""

    rank: ClassVar[int]

    def __init__(
        self, size: Any, data_format: str | None, interpolation: str, options: LayerOptions
    ) -> None:
        super().__init__(**options)
        owner = type(self).__name__
        self.size = factors(owner, "size", size, self.rank)
        self.data_format = layout(owner, data_format)
        self.interpolation = str(interpolation).lower()
        check_choice(owner, "interpolation", self.interpolation, _INTERPOLATIONS)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs: Array) -> Array:
        axes = range(first_spatial_axis(self.data_format), inputs.ndim)[: self.rank]
        if self.interpolation == "nearest":
            return _repeat(inputs, dict(zip(axes, self.size)))
        return _interpolate(inputs, dict(zip(axes, self.size)), self.interpolation)


def _repeat(inputs: Array, times: dict[int, int]) -> Array:
    """Returns the array with each value repeated along some axes: one copy, by broadcasting."""
    split: list[Any] = []
    repeated: list[Any] = []
    for axis, size in enumerate(inputs.shape):
        split += [size, 1] if axis in times else [size]
        repeated += [size, times[axis]] if axis in times else [size]
    joined = [size * times.get(axis, 1) for axis, size in enumerate(inputs.shape)]
    return jnp.reshape(jnp.broadcast_to(jnp.reshape(inputs, split), repeated), joined)


def _interpolate(inputs: Array, times: dict[int, int], method: str) -> Array:
    shape = tuple(size * times.get(axis, 1) for axis, size in enumerate(inputs.shape))
    return jax.image.resize(inputs, shape, method, antialias=False)


class UpSampling1D(_UpSampling):
    """Repeats each step of a sequence.

    Shapes: `[batch, steps, features]` in, `[batch, size * steps, features]` out.

    Args:
        size: how often.

    Raises:
        ConfigError: `size` is not a positive whole number.

    >>> from kgraph.layers import Input
    >>> UpSampling1D(3)(Input((4, 2))).shape
    (None, 12, 2)
    """

    rank = 1

    def __init__(self, size: int = 2, **options: Unpack[LayerOptions]) -> None:
        super().__init__(size, "channels_last", "nearest", options)


class UpSampling2D(_UpSampling):
    """Enlarges images by whole factors.

    Shapes: `[batch, height, width, channels]` in (`channels_first`: channels second), the same with
    larger height and width out.

    Args:
        size: one factor, or one for each axis.
        data_format: by default `image_data_format()`.
        interpolation: `"nearest"` repeats; `"bilinear"`, `"bicubic"`, `"lanczos3"` and `"lanczos5"`
            interpolate.

    Raises:
        ConfigError: an option has another value.

    >>> from kgraph.layers import Input
    >>> UpSampling2D((2, 3))(Input((4, 4, 2))).shape
    (None, 8, 12, 2)
    """

    rank = 2

    def __init__(
        self,
        size: int | Sequence[int] = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(size, data_format, interpolation, options)


class UpSampling3D(_UpSampling):
    """Repeats the values of volumes along each spatial axis.

    Shapes: `[batch, depth, height, width, channels]` in (`channels_first`: channels second), the
    same with larger spatial axes out.

    Args:
        size: one factor, or one for each axis.
        data_format: by default `image_data_format()`.

    Raises:
        ConfigError: an option has another value.

    >>> from kgraph.layers import Input
    >>> UpSampling3D(2)(Input((2, 2, 2, 1))).shape
    (None, 4, 4, 4, 1)
    """

    rank = 3

    def __init__(
        self,
        size: int | Sequence[int] = (2, 2, 2),
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(size, data_format, "nearest", options)
