"""GRU: one state behind two gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import jax.numpy as jnp

from kgraph import activations
from kgraph.checks import check_count
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import CommonOptions, LayerOptions
from kgraph.layers.recurrent.cell import WeightedCell, add_bias, masked_matmul
from kgraph.layers.recurrent.cudnn import check_use_cudnn
from kgraph.layers.recurrent.gates import gru_gates, has_usual_activations
from kgraph.layers.recurrent.rnn import RNN
from kgraph.types import (
    ActivationLike,
    Array,
    ConstraintLike,
    InitializerLike,
    RegularizerLike,
    Shape,
)


class GRUCell(WeightedCell):
    """One step of GRU.

    With `z, r, g` the three blocks of `x K + b` and of `h R`, in this order:
    `h' = z h + (1 - z) tanh(g_x + r g_h)`, where z and r went through a sigmoid.

    Shapes: inputs `[batch, features]`, states `[h]` with h `[batch, units]`. Weights: `kernel`
    `[features, 3 units]`, `recurrent_kernel` `[units, 3 units]`, `bias` `[2, 3 units]` (of `x K`
    and of `h R`), or `[3 units]` without `reset_after`.

    Args:
        units: width of output and state.
        activation: in the place of tanh.
        recurrent_activation: in the place of sigmoid.
        use_bias: whether there is a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: how the weights start.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties on the weights.
        kernel_constraint, recurrent_constraint, bias_constraint: applied after each update.
        dropout: rate of dropped input features, the same at every step.
        recurrent_dropout: rate of dropped state features, the same at every step. With it, each
            gate has masks of its own.
        reset_after: whether r multiplies `h R` (as cuDNN does) or h itself, before R.
        seed: of the dropout; None follows the key and the path.

    Raises:
        ConfigError: `units` is not positive, or a rate is not in 0 to 1.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder",
    arXiv:1406.1078 (version 3 without `reset_after`, version 1 with it).

    >>> from kgraph.layers import Input
    >>> from kgraph.layers import RNN
    >>> RNN(GRUCell(4))(Input((10, 3))).shape
    (None, 4)
    """

    recurrent_is_added = False

    def __init__(
        self,
        units: int,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
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
        reset_after: bool = True,
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
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = reset_after
        self.gates_with_own_masks = 3 if self.recurrent_dropout else None

    def build(self, input_shape: Shape) -> None:
        width = 3 * self.units
        bias = (2, width) if self.reset_after else (width,)
        self.declare((input_shape[-1], width), (self.units, width), bias)

    def project(self, inputs: Array, mask: Array | None) -> Array:
        bias = self.bias
        if bias is not None and self.reset_after:
            bias = bias[0]
        return add_bias(masked_matmul(inputs, self.kernel, mask), bias)

    def recurrent_weights(self) -> Any:
        return self.recurrent_kernel, None if self.bias is None else self.bias[1]

    def product(self, weights: Any, state: Array, mask: Array | None) -> Array:
        kernel, bias = weights
        return add_bias(masked_matmul(state, kernel, mask), bias)

    def step(self, projected: Array, states: Sequence[Array], mask: Array | None) -> list[Array]:
        (state,) = states
        x_z, x_r, x_g = jnp.split(projected, 3, axis=-1)
        if self.reset_after:
            recurrent = self.recur(state, mask)
            if has_usual_activations(self):
                return [gru_gates(projected, recurrent, state)]
            h_z, h_r, h_g = jnp.split(recurrent, 3, axis=-1)
            z, r = self._gates(x_z + h_z, x_r + h_r)
            candidate = self.activation(x_g + r * h_g)
        else:
            gates, last = jnp.split(self.recurrent_kernel, [2 * self.units], axis=-1)
            of_gates = None if mask is None else mask[:2]
            of_last = None if mask is None else mask[2]
            h_z, h_r = jnp.split(masked_matmul(state, gates, of_gates), 2, axis=-1)
            z, r = self._gates(x_z + h_z, x_r + h_r)
            candidate = self.activation(x_g + masked_matmul(r * state, last, of_last))
        return [z * state + (1 - z) * candidate]

    def _gates(self, z: Array, r: Array) -> tuple[Array, Array]:
        return self.recurrent_activation(z), self.recurrent_activation(r)


class GRU(RNN):
    """Runs `GRUCell` over time.

    Shapes: `[batch, time, features]` in, `[batch, units]` out, or `[batch, time, units]` with
    `return_sequences`; with `return_state` also h, `[batch, units]`.

    Args:
        units to seed: see `GRUCell`.
        return_sequences, return_state, go_backwards, stateful, unroll: see `RNN`.
        reset_after: see `GRUCell`.
        use_cudnn: "auto" or False; JAX offers cuDNN's LSTM only.

    Raises:
        ConfigError: see `GRUCell`; or `use_cudnn=True`.

    >>> from kgraph.layers import Input
    >>> GRU(4, return_sequences=True)(Input((10, 3))).shape
    (None, 10, 4)
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
        reset_after: bool = True,
        use_cudnn: bool | str = "auto",
        **options: Unpack[CommonOptions],
    ) -> None:
        cell = GRUCell(
            units, activation, recurrent_activation, use_bias,
            kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer,
            kernel_constraint, recurrent_constraint, bias_constraint,
            dropout, recurrent_dropout, reset_after, seed, dtype=options.get("dtype"),
        )  # fmt: skip
        super().__init__(
            cell, return_sequences, return_state, go_backwards, stateful, unroll,
            activity_regularizer=activity_regularizer, **options,
        )  # fmt: skip
        self.units = units
        check_use_cudnn(self, use_cudnn, is_lstm=False)
