"""SimpleRNN: the output of a step is fed back through one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from kgraph import activations
from kgraph.checks import check_count
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import CommonOptions, LayerOptions
from kgraph.layers.recurrent.cell import WeightedCell, add_bias, masked_matmul
from kgraph.layers.recurrent.rnn import RNN
from kgraph.types import (
    ActivationLike,
    Array,
    ConstraintLike,
    InitializerLike,
    RegularizerLike,
    Shape,
)


class SimpleRNNCell(WeightedCell):
    """One step of SimpleRNN: `h' = activation(x K + b + h R)`.

    Shapes: inputs `[batch, features]`, states `[h]` with h `[batch, units]`. Weights: `kernel`
    `[features, units]`, `recurrent_kernel` `[units, units]`, `bias` `[units]`.

    Args:
        units: width of output and state.
        activation: of the output.
        use_bias: whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: how the weights start.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on the weights.
        kernel_constraint, recurrent_constraint, bias_constraint: applied after each update.
        dropout: rate of dropped input features, the same at every step.
        recurrent_dropout: rate of dropped state features, the same at every step.
        seed: of the dropout; None follows the key and the path.

    Raises:
        ConfigError: `units` is not positive, or a rate is not in 0 to 1.

    Source: Elman, "Finding structure in time", Cognitive Science 14, 1990.

    >>> from kgraph.layers import Input
    >>> from kgraph.layers import RNN
    >>> RNN(SimpleRNNCell(4))(Input((10, 3))).shape
    (None, 4)
    """

    recurrent_is_added = True

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros",
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
        self.units = check_count(label_of(self), "units", units)
        self.state_size = self.output_size = units
        self.activation = activations.get(activation)

    def build(self, input_shape: Shape) -> None:
        self.declare((input_shape[-1], self.units), (self.units, self.units), (self.units,))

    def project(self, inputs: Array, mask: Array | None) -> Array:
        return add_bias(masked_matmul(inputs, self.kernel, mask), self.bias)

    def step(self, projected: Array, states: Sequence[Array], mask: Array | None) -> list[Array]:
        return [self.activation(projected + self.recur(states[0], mask))]


class SimpleRNN(RNN):
    """Runs `SimpleRNNCell` over time.

    Shapes: `[batch, time, features]` in, `[batch, units]` out, or `[batch, time, units]` with
    `return_sequences`.

    Args:
        units to seed: see `SimpleRNNCell`.
        return_sequences, return_state, go_backwards, stateful, unroll: see `RNN`.

    Raises:
        ConfigError: see `SimpleRNNCell`.

    >>> from kgraph.layers import Input
    >>> outputs, state = SimpleRNN(4, return_state=True)(Input((10, 3)))
    >>> outputs.shape, state.shape
    ((None, 4), (None, 4))
    """

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        recurrent_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        activity_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        recurrent_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        **options: Unpack[CommonOptions],
    ) -> None:
        cell = SimpleRNNCell(
            units, activation, use_bias,
            kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer,
            kernel_constraint, recurrent_constraint, bias_constraint,
            dropout, recurrent_dropout, seed, dtype=options.get("dtype"),
        )  # fmt: skip
        super().__init__(
            cell, return_sequences, return_state, go_backwards, stateful, unroll,
            activity_regularizer=activity_regularizer, **options,
        )  # fmt: skip
        self.units = units
