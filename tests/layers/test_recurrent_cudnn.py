"""LSTM on cuDNN, without having it: what the kernel is given, and where it is called.

The kernel's place is taken by JAX's reference for it, and by a call that only has a name.
"""

from __future__ import annotations

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn

from kgraph.errors import GraphError
from kgraph.layers.base import Context, Input
from kgraph.layers.base.binding import bind
from kgraph.layers.recurrent import LSTM, Bidirectional, cudnn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 2)).astype("float32")
MASK = np.ones((3, 5), bool)


def reference(
    x, h, c, weights, lengths, input_size, hidden_size, num_layers, dropout, bidirectional
):
    """Runs JAX's reference in the place of the kernel."""
    sizes = (input_size, hidden_size, num_layers)
    parts = rnn.unpack_lstm_weights(weights, *sizes, bidirectional)
    return rnn.lstm_ref(x, h, c, *parts, lengths, *sizes, dropout, bidirectional)


def named(x, h, c, weights, lengths, **options):
    """Stands for the kernel in a lowered text."""
    shapes = (jax.ShapeDtypeStruct((*x.shape[:2], h.shape[-1]), x.dtype), h, c)
    shapes = [jax.ShapeDtypeStruct(s.shape, s.dtype) for s in shapes]
    return jax.ffi.ffi_call("the_kernel", shapes)(x, h, c, weights, lengths)


def test_the_kernel_gets_the_weights_and_steps_in_its_order(monkeypatch):
    monkeypatch.setattr(rnn, "lstm", reference)
    layer = LSTM(4, go_backwards=True, return_sequences=True, return_state=True)
    layer(X)
    ids = [id(w) for w in layer.weights]
    weights = [RNG.normal(size=w.shape).astype("float32") for w in layer.weights]
    states = list(RNG.normal(size=(2, 3, 4)).astype("float32"))

    def loop(weights, x, states):
        context = Context(dict(zip(ids, weights, strict=True)))
        return bind(layer, context, "lstm")(x, initial_state=states)

    def kernel(weights, x, states):
        cell = bind(layer, Context(dict(zip(ids, weights, strict=True))), "lstm").cell
        outputs, after = cudnn.run(cell, jnp.swapaxes(x, 0, 1), states, go_backwards=True)
        return jnp.swapaxes(outputs, 0, 1), *after

    def measured(function):
        def loss(*args):
            made = function(*args)
            return sum(jnp.sum(jnp.sin(y)) for y in made), made

        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))(
            weights, X, states
        )

    for ours, theirs in zip(jax.tree.leaves(measured(kernel)), jax.tree.leaves(measured(loop))):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("asked", [True, "auto"])
def test_only_cuda_calls_the_kernel_and_only_if_asked(asked, monkeypatch):
    monkeypatch.setattr(rnn, "lstm", named)
    monkeypatch.setattr(cudnn, "has_kernel", lambda: True)
    layer = Bidirectional(LSTM(4, dropout=0.5, use_bias=False, use_cudnn=asked))
    layer(Input((5, 2)))  # an unknown batch runs the loop
    values = {id(w): w.value for w in layer.weights}

    def run(x):
        return bind(layer, Context(values, True, jax.random.key(0)), "lstm")(x)

    spec = jax.ShapeDtypeStruct(X.shape, X.dtype)
    disabled = [jax.export.DisabledSafetyCheck.custom_call("the_kernel")]
    for platform in ("cuda", "cpu", "tpu"):
        text = jax.export.export(jax.jit(run), platforms=[platform], disabled_checks=disabled)(spec)
        calls, loops = (
            text.mlir_module().count("@the_kernel("),
            "stablehlo.while" in text.mlir_module(),
        )
        on_kernel = asked is True and platform == "cuda"
        assert (calls, loops) == ((2, False) if on_kernel else (0, True)), platform


def test_without_the_kernel_the_loop_runs():
    asked, plain = LSTM(4, use_cudnn=True), LSTM(4)
    plain(X)
    asked(X)
    asked.set_weights(plain.get_weights())
    np.testing.assert_array_equal(asked(X), plain(X))


def test_a_mask_is_refused():
    with pytest.raises(GraphError, match=r"takes no mask[\s\S]*use_cudnn=\"auto\""):
        LSTM(4, use_cudnn=True)(X, mask=MASK)
