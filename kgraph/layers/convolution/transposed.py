"""Conv1DTranspose, Conv2DTranspose and Conv3DTranspose: one implementation and three names."""

from __future__ import annotations

from typing import Unpack

import jax
import jax.numpy as jnp

from kgraph.checks import check_count
from kgraph.errors import ConfigError
from kgraph.graph.traits import Traits
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import CommonOptions
from kgraph.layers.base.weight_options import KernelAndBias, add_with_options, set_options
from kgraph.layers.convolution.base import _ConvolutionBase, convolution_traits
from kgraph.layers.convolution.spatial import DataFormat, Sizes
from kgraph.layers.convolution.window import Pads, Window
from kgraph.types import (
    ActivationLike,
    Array,
    ConstraintLike,
    InitializerLike,
    RegularizerLike,
    Shape,
)


def _traits(layer: _TransposedConvolution) -> Traits:
    return convolution_traits(layer, kernel_axes=(-2,), transposed=True)


class _TransposedConvolution(_ConvolutionBase, KernelAndBias, traits=_traits):
    """The gradient of a convolution by its input, used as a layer: it enlarges what it is given."""

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        output_padding: Sizes | None = None,
        data_format: DataFormat | None = None,
        dilation_rate: Sizes = 1,
        activation: ActivationLike | None = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        activity_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **options: Unpack[CommonOptions],
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
            bias_initializer, bias_regularizer, bias_constraint,
            activity_regularizer=activity_regularizer, **options,
        )  # fmt: skip
        self.filters = check_count(label_of(self), "filters", filters)
        self.output_padding = self._check_output_padding(output_padding)
        set_options(self, "kernel", kernel_initializer, kernel_regularizer, kernel_constraint)

    def build(self, input_shape: Shape) -> None:
        channels = self.fix_channels(input_shape)
        self.kernel = add_with_options(self, "kernel", (*self.kernel_size, self.filters, channels))
        self.declare_bias(self.filters)

    def call(self, inputs: Array) -> Array:
        window = Window(
            strides=(1,) * self.rank,
            padding=self._transposed_pads(),
            dilation=self.dilation_rate,
            stretch=self.strides,
            channels_last=self.data_format == "channels_last",
        )
        kernel = jnp.swapaxes(jax.lax.rev(self.kernel, range(self.rank)), -1, -2)
        outputs = self.run_window(inputs, kernel, window)
        return self.finish(outputs)

    def _transposed_pads(self) -> Pads:
        """Returns the zeros before and after each axis of the input, stretched by the strides."""
        extras = self.output_padding or (None,) * self.rank
        rows = zip(self.reach, self.strides, extras)
        return tuple(_pad(self.padding, reach, stride, extra) for reach, stride, extra in rows)

    def _check_output_padding(self, value: Sizes | None) -> tuple[int, ...] | None:
        if value is None:
            return None
        extras = self.per_axis("output_padding", value, least=0)
        if any(extra >= stride for extra, stride in zip(extras, self.strides)):
            raise ConfigError(
                f"{label_of(self)} cannot use this `output_padding`",
                expected=f"less than the stride on each axis: strides={self.strides}",
                received=repr(value),
            )
        return extras


def _pad(padding: str, reach: int, stride: int, extra: int | None) -> tuple[int, int]:
    """Returns the zeros on both sides of one axis.

    With `n` inputs there are `(n - 1) * stride + 1` points before padding and `reach - 1` fewer
    windows than points after it, which gives the sizes of Keras' layers:

    - valid: `(n - 1) * stride + reach + extra`, or with `max(reach, stride)` in the place of
      `reach + extra` where no `extra` is given;
    - same: `(n - 1) * stride + reach % 2 + extra`, or `n * stride` where no `extra` is given.
    """
    if padding == "valid":
        more = max(stride - reach, 0) if extra is None else extra
        return reach - 1, reach - 1 + more
    total = reach + stride - 2 if extra is None else reach + reach % 2 - 2 + extra
    left = min(total - total // 2, reach - 1)
    return left, total - left


class Conv1DTranspose(_TransposedConvolution):
    """Transposed convolution of a series.

    Shapes: `[batch, steps, channels]` in, `[batch, new_steps, filters]` out (channels first: axes
    1 and 2 exchanged). With `reach = dilation_rate * (kernel_size - 1) + 1`, `new_steps` is

    - with padding valid, `(steps - 1) * strides + max(reach, strides)`, or
      `(steps - 1) * strides + reach + output_padding` if that is given;
    - with padding same, `steps * strides`, or
      `(steps - 1) * strides + reach % 2 + output_padding` if that is given.

    Weights: `kernel` `[kernel_size, filters, channels]`, `bias` `[filters]`.

    Args: as in `Conv1D`, without `groups` and causal padding, and
        output_padding: steps added at the right end; less than the stride.

    Raises:
        ConfigError: an option has a value it cannot have; strides and dilation are both above 1.

    >>> from kgraph.layers.base import Input
    >>> Conv1DTranspose(8, 3, strides=2, padding="same")(Input(("time", 4))).symbolic_shape
    ('batch', '2*time', 8)
    """

    rank = 1


class Conv2DTranspose(_TransposedConvolution):
    """Transposed convolution of an image.

    Shapes: `[batch, rows, columns, channels]` in, `[batch, new_rows, new_columns, filters]` out
    (channels first: axis 1). Weights: `kernel` `[*kernel_size, filters, channels]`, `bias`
    `[filters]`.

    Args and Raises: as in `Conv1DTranspose`; sizes are one number or one for each axis.

    >>> from kgraph.layers.base import Input
    >>> Conv2DTranspose(8, 3, activation="relu")(Input((4, 4, 1))).shape
    (None, 6, 6, 8)
    """

    rank = 2


class Conv3DTranspose(_TransposedConvolution):
    """Transposed convolution of a volume.

    Shapes: `[batch, depth, rows, columns, channels]` in, the same with `filters` channels out
    (channels first: axis 1). Weights, Args and Raises: as in `Conv2DTranspose`; as in Keras,
    `data_format` comes before `output_padding` here.

    >>> from kgraph.layers import Input
    >>> Conv3DTranspose(4, 2, strides=2)(Input((3, 3, 3, 2))).shape
    (None, 6, 6, 6, 4)
    """

    rank = 3

    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: DataFormat | None = None,
        output_padding: Sizes | None = None,
        dilation_rate: Sizes = 1,
        activation: ActivationLike | None = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        activity_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **options: Unpack[CommonOptions],
    ) -> None:
        super().__init__(
            filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate,
            activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer,
            bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint, **options,
        )  # fmt: skip
