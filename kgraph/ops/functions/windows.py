"""Convolutions and pooling over given kernels and windows: those of the layers, as functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kgraph import config
from kgraph.errors import ConfigError
from kgraph.layers.convolution import Conv1DTranspose, Conv2DTranspose, Conv3DTranspose
from kgraph.layers.convolution.depthwise import as_grouped
from kgraph.layers.convolution.spatial import DataFormat, Sizes
from kgraph.layers.convolution.window import Window, convolve
from kgraph.layers.pooling import (
    AdaptiveAveragePooling1D,
    AdaptiveAveragePooling2D,
    AdaptiveAveragePooling3D,
    AdaptiveMaxPooling1D,
    AdaptiveMaxPooling2D,
    AdaptiveMaxPooling3D,
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from kgraph.types import Array

__all__ = [
    "adaptive_average_pool", "adaptive_max_pool", "average_pool", "conv", "conv_transpose",
    "depthwise_conv", "max_pool", "separable_conv",
]  # fmt: skip

_TRANSPOSED: Any = (Conv1DTranspose, Conv2DTranspose, Conv3DTranspose)
_MAX: Any = (MaxPooling1D, MaxPooling2D, MaxPooling3D)
_AVERAGE: Any = (AveragePooling1D, AveragePooling2D, AveragePooling3D)
_ADAPTIVE_MAX: Any = (AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D)
_ADAPTIVE_AVERAGE: Any = (
    AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D
)  # fmt: skip


def conv(
    inputs: Array,
    kernel: Array,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: DataFormat | None = None,
    dilation_rate: Sizes = 1,
) -> Array:
    """Convolves.

    Shapes: inputs `[batch, *spatial, channels]` (channels first: axis 1), kernel
    `[*sizes, channels / groups, filters]`. The number of groups follows from both.
    """
    first = _layout(data_format) == "channels_first"
    channels, inner = inputs.shape[1 if first else -1], kernel.shape[-2]
    if channels % inner:
        raise ConfigError(
            "ops.conv has a kernel that does not fit the channels of the input",
            expected=f"kernel [*sizes, a divisor of {channels}, filters]", received=kernel.shape,
        )  # fmt: skip
    return _convolve(
        inputs, kernel, strides, padding, data_format, dilation_rate, channels // inner
    )


def depthwise_conv(
    inputs: Array,
    kernel: Array,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: DataFormat | None = None,
    dilation_rate: Sizes = 1,
) -> Array:
    """Convolves each channel by itself, with a kernel `[*sizes, channels, multiplier]`."""
    grouped, groups = as_grouped(kernel)
    return _convolve(inputs, grouped, strides, padding, data_format, dilation_rate, groups)


def separable_conv(
    inputs: Array,
    depthwise_kernel: Array,
    pointwise_kernel: Array,
    strides: Sizes = 1,
    padding: str = "valid",
    data_format: DataFormat | None = None,
    dilation_rate: Sizes = 1,
) -> Array:
    """Convolves each channel by itself, then mixes them by `[*ones, channels * m, filters]`."""
    between = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(between, pointwise_kernel, data_format=data_format)


def conv_transpose(
    inputs: Array,
    kernel: Array,
    strides: Sizes = 1,
    padding: str = "valid",
    output_padding: Sizes | None = None,
    data_format: DataFormat | None = None,
    dilation_rate: Sizes = 1,
) -> Array:
    """Returns the transposed convolution, with a kernel `[*sizes, filters, channels]`.

    Sizes of the result: see `kgraph.layers.Conv2DTranspose`.
    """
    *sizes, filters, _ = kernel.shape
    layer = _TRANSPOSED[inputs.ndim - 3](
        filters, tuple(sizes), strides, padding, output_padding, data_format, dilation_rate,
        use_bias=False,
    )  # fmt: skip
    layer.kernel = kernel
    return layer.call(inputs)


def max_pool(
    inputs: Array,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: str = "valid",
    data_format: DataFormat | None = None,
) -> Array:
    """Returns the largest value of each window (see `kgraph.layers.MaxPooling2D`)."""
    return _MAX[inputs.ndim - 3](pool_size, strides, padding, data_format).call(inputs)


def average_pool(
    inputs: Array,
    pool_size: Sizes,
    strides: Sizes | None = None,
    padding: str = "valid",
    data_format: DataFormat | None = None,
) -> Array:
    """Returns the mean of each window (see `kgraph.layers.AveragePooling2D`)."""
    return _AVERAGE[inputs.ndim - 3](pool_size, strides, padding, data_format).call(inputs)


def adaptive_max_pool(
    inputs: Array, output_size: Sizes, data_format: DataFormat | None = None
) -> Array:
    """Returns the largest value of each of `output_size` windows."""
    return _ADAPTIVE_MAX[inputs.ndim - 3](output_size, data_format).call(inputs)


def adaptive_average_pool(
    inputs: Array, output_size: Sizes, data_format: DataFormat | None = None
) -> Array:
    """Returns the mean of each of `output_size` windows."""
    return _ADAPTIVE_AVERAGE[inputs.ndim - 3](output_size, data_format).call(inputs)


def _convolve(
    inputs: Array,
    kernel: Array,
    strides: Sizes,
    padding: str,
    data_format: DataFormat | None,
    dilation_rate: Sizes,
    groups: int,
) -> Array:
    rank = kernel.ndim - 2
    window = Window(
        strides=_per_axis(strides, rank),
        padding=padding.upper(),
        dilation=_per_axis(dilation_rate, rank),
        stretch=(1,) * rank,
        groups=groups,
        channels_last=_layout(data_format) == "channels_last",
    )
    return convolve(inputs, kernel, window)


def _per_axis(value: Sizes, rank: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, Sequence) else (value,) * rank


def _layout(data_format: DataFormat | None) -> str:
    return data_format or config.image_data_format()
