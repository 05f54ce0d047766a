"""cuDNN's LSTM, as far as `jax.experimental.rnn` offers it: one layer in float32."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from kgraph.errors import ConfigError, GraphError, check_choice
from kgraph.layers.base.core import label_of
from kgraph.layers.base.platform import platform
from kgraph.layers.recurrent.gates import has_usual_activations
from kgraph.types import Array


def check_use_cudnn(layer: Any, use_cudnn: bool | str, is_lstm: bool) -> None:
    """Raises ConfigError for `use_cudnn=True` with options that cuDNN's LSTM has not."""
    name = type(layer).__name__
    check_choice(name, "use_cudnn", use_cudnn, ("auto", True, False))
    if use_cudnn is not True:
        return
    if not is_lstm:
        reason = "JAX offers cuDNN's LSTM only"
    elif not has_usual_activations(layer.cell):
        reason = "cuDNN's LSTM has tanh for its output and sigmoid for its gates"
    elif layer.cell.recurrent_dropout:
        reason = "cuDNN's LSTM has no recurrent_dropout"
    elif layer.unroll:
        reason = "cuDNN's LSTM cannot be unrolled"
    elif layer.compute_dtype != "float32":
        reason = f"JAX offers cuDNN's LSTM in float32 only, not in {layer.compute_dtype}"
    else:
        return
    raise ConfigError(reason, received=f"use_cudnn=True in {name}", hint='use_cudnn="auto"')


def applies(layer: Any, inputs: Array, mask: Array | None) -> bool:
    """Tells whether a call can be given to cuDNN where it runs on CUDA.

    Args:
        layer: asks for cuDNN.
        inputs: `[time, batch, features]`.
        mask: of the call.

    Raises:
        GraphError: there is a mask.
    """
    if mask is not None:
        raise GraphError(
            f"{label_of(layer)} is to run on cuDNN, and takes no mask there",
            received="a mask, and use_cudnn=True",
            hint='use_cudnn="auto"',
        )
    return all(isinstance(size, int) for size in inputs.shape) and has_kernel()


def has_kernel() -> bool:
    """Tells whether this JAX can trace the kernel: it asks cuDNN for the size of its memory."""
    from jax.experimental import rnn

    library = getattr(rnn, "gpu_rnn", None)
    known = hasattr(library, "compute_rnn_workspace_reserve_space_sizes")
    return known and platform() == "gpu"


def run(cell: Any, inputs: Array, states: list[Array], go_backwards: bool) -> Any:
    """Returns the outputs of all steps, in the order of computation, and the last states.

    Args:
        cell: a bound LSTMCell.
        inputs: `[time, batch, features]`, after dropout.
        states: h and c before the first step.
        go_backwards: whether the last step is the first to be computed.
    """
    from jax.experimental import rnn

    time, batch, features = inputs.shape
    inputs = jnp.flip(inputs, 0) if go_backwards else inputs
    h, c = (state[None] for state in states)
    lengths = jnp.full((batch,), time, jnp.int32)
    lstm: Any = rnn.lstm
    outputs, h, c = lstm(
        jnp.swapaxes(inputs, 0, 1), h, c, packed(cell), lengths,
        input_size=features, hidden_size=cell.units, num_layers=1, dropout=0.0,
        bidirectional=False,
    )  # fmt: skip
    return jnp.swapaxes(outputs, 0, 1), [h[0], c[0]]


def packed(cell: Any) -> Array:
    """Returns the weights as cuDNN has them: a vector of transposed kernels, then two biases.

    The gates have the same order, i, f, g, o.
    """
    none = jnp.zeros_like(cell.kernel, shape=(4 * cell.units,))
    bias = none if cell.bias is None else cell.bias
    return jnp.concatenate([cell.kernel.T.ravel(), cell.recurrent_kernel.T.ravel(), bias, none])
