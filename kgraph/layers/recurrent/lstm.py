"""LSTM: a memory behind three gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from kgraph import activations
from kgraph.checks import check_count
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import CommonOptions, LayerOptions
from kgraph.layers.recurrent import cudnn
from kgraph.layers.recurrent.cell import WeightedCell, add_bias, aligned, masked_matmul
from kgraph.layers.recurrent.forget_bias import ForgetBias
from kgraph.layers.recurrent.gates import has_usual_activations, lstm_gates
from kgraph.layers.recurrent.rnn import RNN
from kgraph.types import (
    ActivationLike,
    Array,
    ConstraintLike,
    InitializerLike,
    RegularizerLike,
    Shape,
    Tree,
)


class LSTMCell(WeightedCell):
    """One step of LSTM.

    With `i, f, g, o` the four blocks of `x K + b + h R`, in this order:
    `c' = sigmoid(f) c + sigmoid(i) tanh(g)`, `h' = sigmoid(o) tanh(c')`.

    Shapes: inputs `[batch, features]`, states `[h, c]`, each `[batch, units]`. Weights: `kernel`
    `[features, 4 units]`, `recurrent_kernel` `[units, 4 units]`, `bias` `[4 units]`.

    Args:
        units: width of output and states.
        activation: in the place of tanh.
        recurrent_activation: in the place of sigmoid.
        use_bias: whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: how the weights start.
        unit_forget_bias: whether the forget gate's part of the bias starts as 1.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on the weights.
        kernel_constraint, recurrent_constraint, bias_constraint: applied after each update.
        dropout: rate of dropped input features, the same at every step.
        recurrent_dropout: rate of dropped state features, the same at every step. With it, each
            gate has masks of its own.
        seed: of the dropout; None follows the key and the path.

    Raises:
        ConfigError: `units` is not positive, or a rate is not in 0 to 1.

    Source: Hochreiter and Schmidhuber, "Long short-term memory", 1997, with the forget gate of Gers
    et al., 2000, and its bias of Jozefowicz et al., 2015.

    >>> from kgraph.layers import Input
    >>> from kgraph.layers import RNN
    >>> RNN(LSTMCell(4))(Input((10, 3))).shape
    (None, 4)
    """

    recurrent_is_added = True

    def __init__(
        self,
        units: int,
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
        self.units = self.output_size = check_count(label_of(self), "units", units)
        self.state_size = [units, units]
        self.activation = activations.get(activation)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias
        self.gates_with_own_masks = 4 if self.recurrent_dropout else None

    def build(self, input_shape: Shape) -> None:
        width = 4 * self.units
        bias_start = ForgetBias(self.bias_initializer) if self.unit_forget_bias else None
        self.declare((input_shape[-1], width), (self.units, width), (width,), bias_start)

    def project(self, inputs: Array, mask: Array | None) -> Array:
        return add_bias(masked_matmul(inputs, self.kernel, mask), self.bias)

    def step(self, projected: Array, states: Sequence[Array], mask: Array | None) -> list[Array]:
        gates = projected + self.recur(states[0], mask)
        if has_usual_activations(self):
            return list(lstm_gates(gates, states[1]))
        return lstm_step(self, jnp.split(gates, 4, axis=-1), states[1])


def lstm_step(cell: Any, gates: Sequence[Array], carry: Array) -> list[Array]:
    """Returns `[h, c]` from the four gates before their activations, and the last `c`."""
    i, f, g, o = gates
    gate = cell.recurrent_activation
    carry = gate(f) * carry + gate(i) * cell.activation(g)
    return [gate(o) * cell.activation(carry), carry]


class LSTM(RNN):
    """Runs `LSTMCell` over time.

    Shapes: `[batch, time, features]` in, `[batch, units]` out, or `[batch, time, units]` with
    `return_sequences`; with `return_state` also h and c, `[batch, units]` each.

    Args:
        units to seed: see `LSTMCell`.
        return_sequences, return_state, go_backwards, stateful, unroll: see `RNN`.
        use_cudnn: True asks for cuDNN's kernel on NVIDIA GPUs, by `jax.experimental.rnn`; other
            devices run the loop, and so does a call with unknown sizes. It computes in float32 (in
            TF32, unless JAX's matmul precision is "highest"), takes the usual activations and no
            mask, recurrent dropout or unrolling, and has no forward-mode derivatives. "auto" and
            False run the loop: whether the kernel is faster has not been measured.

    Raises:
        ConfigError: see `LSTMCell`; or `use_cudnn=True` with other options than these.
        GraphError: a mask with `use_cudnn=True`.

    >>> from kgraph.layers import Input
    >>> LSTM(4)(Input((10, 3))).shape
    (None, 4)
    """

    _kgraph_idle = frozenset({"implementation"})

    def __init__(
        self,
        units: int,
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
        unroll: bool = False,
        use_cudnn: bool | str = "auto",
        **options: Unpack[CommonOptions],
    ) -> None:
        cell = LSTMCell(
            units, activation, recurrent_activation, use_bias,
            kernel_initializer, recurrent_initializer, bias_initializer, unit_forget_bias,
            kernel_regularizer, recurrent_regularizer, bias_regularizer,
            kernel_constraint, recurrent_constraint, bias_constraint,
            dropout, recurrent_dropout, seed, dtype=options.get("dtype"),
        )  # fmt: skip
        super().__init__(
            cell, return_sequences, return_state, go_backwards, stateful, unroll,
            activity_regularizer=activity_regularizer, **options,
        )  # fmt: skip
        self.units = units
        cudnn.check_use_cudnn(self, use_cudnn, is_lstm=True)
        self.use_cudnn = use_cudnn

    def run_steps(
        self,
        inputs: Array,
        initial_state: Any,
        mask: Array | None,
        training: bool | None,
        constants: Tree,
    ) -> tuple[Array, list[Any]]:
        loop = super().run_steps
        if self.use_cudnn is not True or not cudnn.applies(self, inputs, mask):
            return loop(inputs, initial_state, mask, training, constants)
        states = initial_state or self.get_initial_state(inputs.shape[1])
        states = [jnp.asarray(state, self.compute_dtype) for state in states]

        def on_cudnn(inputs: Array, states: list[Array]) -> tuple[Array, list[Any]]:
            dropped = self.cell.draw_mask(inputs[0], self.cell.dropout, training)
            inputs = inputs if dropped is None else inputs * aligned(dropped, 3)
            outputs, states = cudnn.run(self.cell, inputs, states, self.go_backwards)
            return outputs if self.return_sequences else outputs[-1], states

        return jax.lax.platform_dependent(
            inputs,
            states,
            cuda=on_cudnn,
            default=lambda inputs, states: loop(inputs, states, None, training, None),
        )
