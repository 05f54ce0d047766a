"""ConvLSTM: an LSTM whose matrices are convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

import jax
import jax.numpy as jnp

from kgraph import activations, config
from kgraph.checks import check_count
from kgraph.errors import ConfigError, GraphError, check_choice
from kgraph.graph.traits import Convolution, Traits
from kgraph.layers.base import InputSpec
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import CommonOptions, LayerOptions
from kgraph.layers.recurrent.cell import WeightedCell, aligned
from kgraph.layers.recurrent.forget_bias import ForgetBias
from kgraph.layers.recurrent.lstm import lstm_step
from kgraph.layers.recurrent.rnn import RNN
from kgraph.types import (
    ActivationLike,
    Array,
    ConstraintLike,
    InitializerLike,
    RegularizerLike,
    Shape,
)


class ConvLSTMCell(WeightedCell, traits=Traits(convolution=Convolution())):
    """One step of ConvLSTM: `LSTMCell` with convolutions, that of the state with padding "same".

    Shapes: inputs `[batch, *spatial, channels]`, states `[h, c]`, each `[batch, *out, filters]`
    (channels in front with "channels_first"). Weights: `kernel` `[*kernel_size, channels,
    4 filters]`, `recurrent_kernel` `[*kernel_size, filters, 4 filters]`, `bias` `[4 filters]`.

    Args:
        rank: number of spatial axes.
        filters: channels of output and states.
        kernel_size, strides, dilation_rate: one number, or one for each spatial axis.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; by default the process-wide layout.
        activation to seed: see `LSTMCell`. With any dropout each gate has masks of its own.

    Raises:
        ConfigError: an option has a value it cannot have.

    Source: Shi et al., arXiv:1506.04214, without the peephole terms.
    """

    gates_with_own_masks = 4
    recurrent_is_added = True

    def __init__(
        self,
        rank: int,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: RegularizerLike | None = None,
        recurrent_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        recurrent_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer,
            kernel_constraint, recurrent_constraint, bias_constraint,
            dropout, recurrent_dropout, seed, **options,
        )  # fmt: skip
        check_choice("ConvLSTMCell", "rank", rank, (1, 2, 3))
        self.rank, self.filters = rank, check_count(label_of(self), "filters", filters)
        self.kernel_size = _per_axis(rank, "kernel_size", kernel_size)
        self.strides = _per_axis(rank, "strides", strides)
        self.dilation_rate = _per_axis(rank, "dilation_rate", dilation_rate)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ConfigError(
                "ConvLSTM takes strides or a dilation rate, not both",
                received=f"strides={self.strides}, dilation_rate={self.dilation_rate}",
            )
        check_choice("ConvLSTM", "padding", padding.lower(), ("valid", "same"))
        self.padding = padding.lower()
        self.data_format = data_format or config.image_data_format()
        check_choice(
            "ConvLSTM", "data_format", self.data_format, ("channels_last", "channels_first")
        )
        self.activation = activations.get(activation)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias
        self.state_size, self.output_size = [filters, filters], filters
        self.step_shape: Shape | None = None

    @property
    def channel_axis(self) -> int:
        """The axis of the channels, from the end."""
        return -self.rank - 1 if self.data_format == "channels_first" else -1

    def build(self, input_shape: Shape) -> None:
        self.step_shape = tuple(input_shape)
        width = 4 * self.filters
        bias_start = ForgetBias(self.bias_initializer) if self.unit_forget_bias else None
        self.declare(
            (*self.kernel_size, input_shape[self.channel_axis], width),
            (*self.kernel_size, self.filters, width),
            (width,),
            bias_start,
        )

    def project(self, inputs: Array, mask: Array | None) -> Array:
        made = self._convolve(
            inputs, self.kernel, mask, self.strides, self.padding, self.dilation_rate
        )
        if self.bias is None:
            return made
        ones = (1,) * (-self.channel_axis - 1)
        return made + aligned(self.bias.reshape((-1, *ones)), made.ndim)

    def product(self, weights: Any, state: Array, mask: Array | None) -> Array:
        one = (1,) * self.rank
        return self._convolve(state, weights, mask, one, "same", one)

    def step(self, projected: Array, states: Sequence[Array], mask: Array | None) -> list[Array]:
        state, carry = states
        gates = jnp.split(projected + self.recur(state, mask), 4, axis=self.channel_axis)
        return lstm_step(self, gates, carry)

    def start(self, projected: Array) -> list[Array]:
        shape = list(projected.shape[1:])
        shape[self.channel_axis] = self.filters
        return [jnp.zeros_like(projected, shape=tuple(shape))] * 2

    def get_initial_state(self, batch_size: int | Array | None = None) -> list[Array]:
        sizes = (self.step_shape or ())[1:]
        if not sizes or not all(isinstance(size, int) for size in sizes):
            raise GraphError(
                f"{label_of(self)} has initial states of its own only if the image size is known",
                received=f"{list(sizes)} without the batch axis",
                hint="give the sizes in Input, or pass initial_state",
            )
        step = jax.ShapeDtypeStruct((1, batch_size, *sizes), self.compute_dtype)
        kernel = jax.ShapeDtypeStruct(
            (*self.kernel_size, sizes[self.channel_axis], 4 * self.filters), self.compute_dtype
        )
        rest = (None, self.strides, self.padding, self.dilation_rate)
        return self.start(jax.eval_shape(lambda x, k: self._convolve(x, k, *rest), step, kernel))

    def _convolve(
        self, x: Array, kernel: Array, mask: Array | None, strides: Any, padding: str, dilation: Any
    ) -> Array:
        """Returns the convolution of all leading axes of `x`, each gate with its own mask."""
        letters = "HWD"[: self.rank]
        layout = f"N{letters}C" if self.data_format == "channels_last" else f"NC{letters}"

        def one(x: Array, kernel: Array) -> Array:
            lead, features = x.shape[: -self.rank - 1], x.shape[-self.rank - 1 :]
            made = jax.lax.conv_general_dilated(
                x.reshape((-1, *features)),
                kernel,
                strides,
                padding.upper(),
                rhs_dilation=dilation,
                dimension_numbers=(layout, f"{letters}IO", layout),
            )
            return made.reshape((*lead, *made.shape[1:]))

        if mask is None:
            return one(x, kernel)
        blocks = jnp.split(kernel, 4, axis=-1)
        parts = [one(x * aligned(m, x.ndim), block) for m, block in zip(mask, blocks)]
        return jnp.concatenate(parts, axis=self.channel_axis)


class _ConvLSTM(RNN):
    """Runs `ConvLSTMCell` over time.

    Shapes: `[batch, time, *spatial, channels]` in, `[batch, *out, filters]` out, or
    `[batch, time, *out, filters]` with `return_sequences`; channels stand before the spatial axes
    with "channels_first".

    Args:
        filters to seed: see `ConvLSTMCell`.
        return_sequences, return_state, go_backwards, stateful: see `RNN`.

    Raises:
        ConfigError: see `ConvLSTMCell`.
    """

    rank: ClassVar[int]

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: RegularizerLike | None = None,
        recurrent_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        activity_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        recurrent_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **options: Unpack[CommonOptions],
    ) -> None:
        cell = ConvLSTMCell(
            self.rank, filters, kernel_size, strides, padding, data_format, dilation_rate,
            activation, recurrent_activation, use_bias,
            kernel_initializer, recurrent_initializer, bias_initializer, unit_forget_bias,
            kernel_regularizer, recurrent_regularizer, bias_regularizer,
            kernel_constraint, recurrent_constraint, bias_constraint,
            dropout, recurrent_dropout, seed, dtype=options.get("dtype"),
        )  # fmt: skip
        super().__init__(
            cell, return_sequences, return_state, go_backwards, stateful,
            activity_regularizer=activity_regularizer, **options,
        )  # fmt: skip
        self.filters = filters
        self.input_spec = InputSpec(ndim=self.rank + 3)


class ConvLSTM1D(_ConvLSTM):
    """Runs `ConvLSTMCell` over a sequence of rows; its base class lists the options.

    >>> from kgraph.layers import Input
    >>> ConvLSTM1D(4, 3)(Input((5, 16, 2))).shape
    (None, 14, 4)
    """

    rank = 1


class ConvLSTM2D(_ConvLSTM):
    """Runs `ConvLSTMCell` over a sequence of images; its base class lists the options.

    >>> from kgraph.layers import Input
    >>> ConvLSTM2D(4, 3, padding="same")(Input((5, 8, 8, 2))).shape
    (None, 8, 8, 4)
    """

    rank = 2


class ConvLSTM3D(_ConvLSTM):
    """Runs `ConvLSTMCell` over a sequence of volumes; its base class lists the options.

    >>> from kgraph.layers import Input
    >>> ConvLSTM3D(4, 3)(Input((5, 6, 6, 6, 2))).shape
    (None, 4, 4, 4, 4)
    """

    rank = 3


def _per_axis(rank: int, option: str, value: int | Sequence[int]) -> tuple[int, ...]:
    sizes = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(sizes) != rank or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ConfigError(
            f"ConvLSTM{rank}D cannot use this {option}",
            expected=f"one or {rank} positive whole numbers",
            received=repr(value),
        )
    return sizes
