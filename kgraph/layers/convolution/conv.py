"""Conv1D, Conv2D and Conv3D: one implementation and three names."""

from __future__ import annotations

from dataclasses import replace
from typing import Unpack

from kgraph.checks import check_count
from kgraph.errors import ConfigError, GraphError
from kgraph.graph.traits import Traits
from kgraph.layers.base.adaptable import AdaptableCommonOptions, _Adaptable, adapted
from kgraph.layers.base.core import label_of
from kgraph.layers.base.weight_options import KernelAndBias, add_with_options, set_options
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


def _traits(layer: _Convolution) -> Traits:
    found = convolution_traits(layer, groups=layer.groups)
    return replace(found, linear=()) if layer.lora_enabled else found


class _Convolution(_Adaptable, _ConvolutionBase, KernelAndBias, traits=_traits):
    """Slides a kernel over the spatial axes: `activation(convolution(inputs, kernel) + bias)`."""

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: DataFormat | None = None,
        dilation_rate: Sizes = 1,
        groups: int = 1,
        activation: ActivationLike | None = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        activity_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **options: Unpack[AdaptableCommonOptions],
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            bias_initializer, bias_regularizer, bias_constraint,
            activity_regularizer=activity_regularizer, **options,
        )  # fmt: skip
        self.filters = check_count(label_of(self), "filters", filters)
        self.groups = check_count(label_of(self), "groups", groups)
        if self.filters % self.groups:
            raise ConfigError(
                f"{label_of(self)} cannot split its filters into groups of equal size",
                expected=f"filters divisible by groups={groups}",
                received=f"filters={filters}",
            )
        set_options(self, "kernel", kernel_initializer, kernel_regularizer, kernel_constraint)

    def build(self, input_shape: Shape) -> None:
        channels = self.fix_channels(input_shape)
        if channels % self.groups:
            raise GraphError(
                f"{label_of(self)} cannot split its input into groups of equal size",
                expected=f"channels divisible by groups={self.groups}",
                received=f"{channels} channels",
            )
        self.kernel = add_with_options(
            self, "kernel", (*self.kernel_size, channels // self.groups, self.filters)
        )
        self.declare_bias(self.filters)
        self._kgraph_start_lora()

    def convolution_op(self, inputs: Array, kernel: Array) -> Array:
        """Convolves: a subclass may do it otherwise, with a kernel that it has changed, say."""
        return self.convolve(inputs, kernel, self.groups)

    def call(self, inputs: Array) -> Array:
        return self.finish(self.convolution_op(inputs, adapted(self, self.kernel)))


class Conv1D(_Convolution):
    """Convolves a series.

    Shapes: `[batch, steps, channels]` in, `[batch, new_steps, filters]` out (channels first: axes
    1 and 2 exchanged). With padding valid `new_steps` is `(steps - reach) // strides + 1`, where
    `reach = dilation_rate * (kernel_size - 1) + 1`; with same and causal it is
    `ceil(steps / strides)`. Weights: `kernel` `[kernel_size, channels / groups, filters]`, `bias`
    `[filters]`.

    Args:
        filters: number of output channels.
        kernel_size: length of the window.
        strides: distance of one window to the next.
        padding: "valid" (none), "same" (zeros at both ends, the odd one at the right) or "causal"
            (zeros at the left, so that no output depends on later steps).
        data_format: "channels_last" or "channels_first".
        dilation_rate: distance of one tap of the kernel to the next.
        groups: the channels are split into so many groups, each with filters of its own.
        activation: applied to the output.
        use_bias: whether a bias is added.
        kernel_initializer, bias_initializer: how the weights start.
        kernel_regularizer, bias_regularizer: penalties on the weights.
        activity_regularizer: penalty on the output.
        kernel_constraint, bias_constraint: applied to the weights after each update.

    Raises:
        ConfigError: an option has a value it cannot have; strides and dilation are both above 1.
        GraphError: the input is smaller than the window, or its channels do not divide into groups.

    >>> from kgraph.layers.base import Input
    >>> Conv1D(8, 3)(Input(("time", 4))).symbolic_shape
    ('batch', 'time - 2', 8)
    """

    rank = 1
    paddings = ("valid", "same", "causal")


class Conv2D(_Convolution):
    """Convolves an image.

    Shapes: `[batch, rows, columns, channels]` in, `[batch, new_rows, new_columns, filters]` out
    (channels first: axis 1). Weights: `kernel` `[*kernel_size, channels / groups, filters]`, `bias`
    `[filters]`.

    Args and Raises: as in `Conv1D`; `kernel_size`, `strides` and `dilation_rate` are one number or
    one for each axis, and `padding` is "valid" or "same".

    >>> from kgraph.layers.base import Input
    >>> Conv2D(16, 3, strides=2, padding="same", activation="relu")(Input((28, 28, 1))).shape
    (None, 14, 14, 16)
    """

    rank = 2


class Conv3D(_Convolution):
    """Convolves a volume or a film.

    Shapes: `[batch, depth, rows, columns, channels]` in, the same with `filters` channels out
    (channels first: axis 1). Weights, Args and Raises: as in `Conv2D`.

    >>> from kgraph.layers.base import Input
    >>> Conv3D(4, (1, 3, 3))(Input((8, 16, 16, 2))).shape
    (None, 8, 14, 14, 4)
    """

    rank = 3
