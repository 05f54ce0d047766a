"""SeparableConv1D and SeparableConv2D: a depthwise convolution, then a mix of the channels."""

from __future__ import annotations

from typing import Unpack

from kgraph.checks import check_count
from kgraph.graph.traits import Traits
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import CommonOptions
from kgraph.layers.base.weight_options import add_with_options, set_options
from kgraph.layers.convolution.base import _ConvolutionBase, convolution_traits
from kgraph.layers.convolution.depthwise import as_grouped
from kgraph.layers.convolution.spatial import DataFormat, Sizes
from kgraph.layers.convolution.window import Window
from kgraph.types import (
    ActivationLike,
    Array,
    ConstraintLike,
    InitializerLike,
    RegularizerLike,
    Shape,
)


def _traits(layer: _SeparableConvolution) -> Traits:
    kernels = ("depthwise_kernel", "pointwise_kernel")
    return convolution_traits(layer, kernels, depthwise=True)


class _SeparableConvolution(_ConvolutionBase, traits=_traits):
    """A depthwise convolution followed by one with a kernel of size 1; bias and activation last."""

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: DataFormat | None = None,
        dilation_rate: Sizes = 1,
        depth_multiplier: int = 1,
        activation: ActivationLike | None = None,
        use_bias: bool = True,
        depthwise_initializer: InitializerLike = "glorot_uniform",
        pointwise_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        depthwise_regularizer: RegularizerLike | None = None,
        pointwise_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        activity_regularizer: RegularizerLike | None = None,
        depthwise_constraint: ConstraintLike | None = None,
        pointwise_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **options: Unpack[CommonOptions],
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            bias_initializer, bias_regularizer, bias_constraint,
            activity_regularizer=activity_regularizer, **options,
        )  # fmt: skip
        self.filters = check_count(label_of(self), "filters", filters)
        self.depth_multiplier = check_count(label_of(self), "depth_multiplier", depth_multiplier)
        set_options(
            self, "depthwise", depthwise_initializer, depthwise_regularizer, depthwise_constraint
        )
        set_options(
            self, "pointwise", pointwise_initializer, pointwise_regularizer, pointwise_constraint
        )

    def build(self, input_shape: Shape) -> None:
        channels = self.fix_channels(input_shape)
        self.depthwise_kernel = add_with_options(
            self,
            "depthwise",
            (*self.kernel_size, channels, self.depth_multiplier),
            name="depthwise_kernel",
        )
        self.pointwise_kernel = add_with_options(
            self,
            "pointwise",
            (*(1,) * self.rank, channels * self.depth_multiplier, self.filters),
            name="pointwise_kernel",
        )
        self.declare_bias(self.filters)

    def call(self, inputs: Array) -> Array:
        kernel, groups = as_grouped(self.depthwise_kernel)
        ones = (1,) * self.rank
        pointwise = Window(
            ones, "VALID", ones, ones, channels_last=self.data_format == "channels_last"
        )
        between = self.convolve(inputs, kernel, groups)
        outputs = self.run_window(between, self.pointwise_kernel, pointwise)
        return self.finish(outputs)


class SeparableConv1D(_SeparableConvolution):
    """Convolves each channel of a series by itself, then mixes the channels.

    Shapes: `[batch, steps, channels]` in, `[batch, new_steps, filters]` out (channels first: axes 1
    and 2 exchanged). Weights: `depthwise_kernel` `[kernel_size, channels, depth_multiplier]`,
    `pointwise_kernel` `[1, channels * depth_multiplier, filters]`, `bias` `[filters]`.

    Args: as in `Conv1D`, without `groups` and causal padding, `depthwise_*` and `pointwise_*` in
        the place of `kernel_*`, and
        depth_multiplier: number of channels between the two steps, for each input channel.

    Raises:
        ConfigError, GraphError: as in `Conv1D`.

    >>> from kgraph.layers import Input
    >>> SeparableConv1D(6, 3)(Input((10, 4))).shape
    (None, 8, 6)
    """

    rank = 1


class SeparableConv2D(_SeparableConvolution):
    """Convolves each channel of an image by itself, then mixes the channels.

    Shapes: `[batch, rows, columns, channels]` in, `[batch, new_rows, new_columns, filters]` out
    (channels first: axis 1). Weights, Args and Raises: as in `SeparableConv1D`.

    >>> from kgraph.layers.base import Input
    >>> SeparableConv2D(7, 3, padding="same")(Input((8, 8, 5))).shape
    (None, 8, 8, 7)
    """

    rank = 2
