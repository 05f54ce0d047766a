"""DepthwiseConv1D and DepthwiseConv2D: each channel is convolved with kernels of its own."""

from __future__ import annotations

from typing import Unpack

from kgraph.checks import check_count
from kgraph.graph.traits import Traits
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import CommonOptions
from kgraph.layers.base.weight_options import add_with_options, set_options
from kgraph.layers.convolution.base import _ConvolutionBase, convolution_traits
from kgraph.layers.convolution.spatial import DataFormat, Sizes
from kgraph.types import (
    ActivationLike,
    Array,
    ConstraintLike,
    InitializerLike,
    RegularizerLike,
    Shape,
)


def _traits(layer: _DepthwiseConvolution) -> Traits:
    return convolution_traits(layer, kernel_axes=(-2, -1), depthwise=True)


class _DepthwiseConvolution(_ConvolutionBase, traits=_traits):
    """A convolution with as many groups as channels; the channels are not mixed."""

    def __init__(
        self,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: DataFormat | None = None,
        dilation_rate: Sizes = 1,
        activation: ActivationLike | None = None,
        use_bias: bool = True,
        depthwise_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        depthwise_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        activity_regularizer: RegularizerLike | None = None,
        depthwise_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **options: Unpack[CommonOptions],
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            bias_initializer, bias_regularizer, bias_constraint,
            activity_regularizer=activity_regularizer, **options,
        )  # fmt: skip
        self.depth_multiplier = check_count(label_of(self), "depth_multiplier", depth_multiplier)
        set_options(
            self, "depthwise", depthwise_initializer, depthwise_regularizer, depthwise_constraint
        )

    def build(self, input_shape: Shape) -> None:
        channels = self.fix_channels(input_shape)
        self.kernel = add_with_options(
            self, "depthwise", (*self.kernel_size, channels, self.depth_multiplier), name="kernel"
        )
        self.declare_bias(channels * self.depth_multiplier)

    def call(self, inputs: Array) -> Array:
        kernel, groups = as_grouped(self.kernel)
        return self.finish(self.convolve(inputs, kernel, groups))


def as_grouped(kernel: Array) -> tuple[Array, int]:
    """Returns a kernel `[*sizes, channels, multiplier]` as one for groups, and their number."""
    *sizes, channels, multiplier = kernel.shape
    return kernel.reshape(*sizes, 1, channels * multiplier), channels


class DepthwiseConv1D(_DepthwiseConvolution):
    """Convolves each channel of a series by itself.

    Shapes: `[batch, steps, channels]` in, `[batch, new_steps, channels * depth_multiplier]` out
    (channels first: axes 1 and 2 exchanged). Weights: `kernel`
    `[kernel_size, channels, depth_multiplier]`, `bias` `[channels * depth_multiplier]`.

    Args: as in `Conv1D`, without `filters`, `groups` and causal padding, `depthwise_*` in the place
        of `kernel_*`, and
        depth_multiplier: number of output channels made from each input channel.

    Raises:
        ConfigError, GraphError: as in `Conv1D`.

    >>> from kgraph.layers import Input
    >>> DepthwiseConv1D(3, depth_multiplier=2)(Input((10, 4))).shape
    (None, 8, 8)
    """

    rank = 1


class DepthwiseConv2D(_DepthwiseConvolution):
    """Convolves each channel of an image by itself.

    Shapes: `[batch, rows, columns, channels]` in,
    `[batch, new_rows, new_columns, channels * depth_multiplier]` out (channels first: axis 1).
    Weights, Args and Raises: as in `DepthwiseConv1D`.

    >>> from kgraph.layers.base import Input
    >>> DepthwiseConv2D(3, depth_multiplier=2)(Input((8, 8, 5))).shape
    (None, 6, 6, 10)
    """

    rank = 2
