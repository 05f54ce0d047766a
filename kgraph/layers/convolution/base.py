"""What all convolutions share: options of the window, and the bias."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

import jax

from kgraph import activations
from kgraph.errors import ConfigError, GraphError
from kgraph.graph.traits import Convolution, LinearForm, Traits
from kgraph.layers.base import InputSpec
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.base.traits import activated
from kgraph.layers.base.weight_options import add_with_options, set_options
from kgraph.layers.convolution.on_cpu import convolve_on_cpu
from kgraph.layers.convolution.spatial import DataFormat, Sizes, _SpatialLayer
from kgraph.layers.convolution.window import Window, convolve
from kgraph.types import (
    ActivationLike,
    Array,
    ConstraintLike,
    Function,
    InitializerLike,
    RegularizerLike,
    Shape,
)


def convolution_traits(
    layer: Any,
    kernels: tuple[str, ...] = ("kernel",),
    kernel_axes: tuple[int, ...] = (-1,),
    **kind: Any,
) -> Traits:
    """Returns what a convolution says of itself.

    Args:
        layer: a built-in one, or built on one.
        kernels: attributes that hold kernels; the last makes the features.
        kernel_axes: of that one, along which the features lie.
        kind: further fields of `Convolution`.
    """
    linear = LinearForm(layer.channel_axis, kernels[-1], kernel_axes)
    found = Convolution(kernels, strides=layer.strides, padding=layer.padding, **kind)
    return Traits(linear=(linear,), activation=activated(layer), convolution=found)


class _ConvolutionBase(_SpatialLayer):
    """Base of the convolutions: everything but the kernel."""

    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")
    bias: Array | None = None

    def __init__(
        self,
        kernel_size: Sizes,
        strides: Sizes,
        padding: str,
        data_format: DataFormat | None,
        dilation_rate: Sizes,
        activation: ActivationLike | None,
        use_bias: bool,
        bias_initializer: InitializerLike,
        bias_regularizer: RegularizerLike | None,
        bias_constraint: ConstraintLike | None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        self.kernel_size = self.per_axis("kernel_size", kernel_size)
        self.strides = self.per_axis("strides", strides)
        self.dilation_rate = self.per_axis("dilation_rate", dilation_rate)
        self.padding = self.check_padding(padding, self.paddings)
        self._check_strides_and_dilation()
        self.activation: Function = activations.get(activation)
        self.use_bias = use_bias
        set_options(self, "bias", bias_initializer, bias_regularizer, bias_constraint)

    def fix_channels(self, input_shape: Shape) -> int:
        """Returns the number of channels of the input; the layer takes no other from now on.

        Raises:
            GraphError: it is unknown.
        """
        channels = input_shape[self.channel_axis]
        if channels is None:
            raise GraphError(
                f"{label_of(self)} needs to know the number of channels of its input",
                received=f"an unknown size on axis {self.channel_axis} ({self.data_format})",
                hint="give it in Input: shape=(None, None, 3) for images of any size",
            )
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={self.channel_axis: channels})
        return channels

    def declare_bias(self, size: int) -> None:
        """Declares the bias, if the layer has one."""
        if self.use_bias:
            self.bias = add_with_options(self, "bias", (size,))

    @property
    def reach(self) -> tuple[int, ...]:
        """Size of the window along each axis: the kernel with the gaps of its dilation."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel_size, self.dilation_rate))

    def convolve(self, inputs: Array, kernel: Array, groups: int = 1) -> Array:
        """Convolves with the options of the layer."""
        if self.padding == "valid":
            window = f"kernel_size={self.kernel_size}, dilation_rate={self.dilation_rate}"
            self.check_window_fits(inputs, self.reach, f"its kernel ({window})")
        causal = tuple((reach - 1, 0) for reach in self.reach)
        window = Window(
            strides=self.strides,
            padding=causal if self.padding == "causal" else self.padding.upper(),
            dilation=self.dilation_rate,
            stretch=(1,) * self.rank,
            groups=groups,
            channels_last=self.data_format == "channels_last",
        )
        return self.run_window(inputs, kernel, window)

    def run_window(self, inputs: Array, kernel: Array, window: Window) -> Array:
        """Convolves as the compiler has decided (`convolve_on_cpu`), or else by XLA's operation."""
        run = convolve_on_cpu if self._kgraph.lowering else convolve
        return run(inputs.astype(kernel.dtype), kernel, window)

    def finish(self, outputs: Array) -> Array:
        """Adds the bias and applies the activation."""
        if self.bias is not None:
            others = set(range(outputs.ndim)) - {self.channel_axis % outputs.ndim}
            outputs = outputs + jax.lax.expand_dims(self.bias, sorted(others))
        return outputs if self.activation is None else self.activation(outputs)

    def _check_strides_and_dilation(self) -> None:
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ConfigError(
                f"{label_of(self)} cannot have both strides and dilation",
                expected="strides=1 or dilation_rate=1",
                received=f"strides={self.strides}, dilation_rate={self.dilation_rate}",
            )
