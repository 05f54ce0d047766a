"""Gradients of recurrent layers: weights differentiated after the loop, and the gates' own rules.

The reference is the same cell without late weights, finite differences, or the step by hand.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from kgraph.layers.base import Context
from kgraph.layers.base.binding import bind
from kgraph.layers.recurrent import GRU, LSTM, RNN, ConvLSTM2D, GRUCell, LSTMCell, SimpleRNN
from kgraph.layers.recurrent.gates import gru_gates, lstm_gates

enable_x64 = (jax if hasattr(jax, "enable_x64") else jax.experimental).enable_x64  # jax 0.7

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 2)).astype("float32")
IMAGES = RNG.normal(size=(2, 3, 4, 4, 1)).astype("float32")
MASK = np.array([[1, 1, 0, 1, 0], [1, 1, 1, 1, 1], [0, 1, 1, 0, 0]], bool)

SLOW = ("lstm backwards masked", "lstm dropout", "gru", "gru dropout", "conv_lstm")

CASES = {
    "lstm backwards masked": (lambda: LSTM(4, go_backwards=True, return_sequences=True), X, MASK),
    "lstm dropout": (lambda: LSTM(4, "relu", dropout=0.2, recurrent_dropout=0.5), X, MASK),
    "gru": (lambda: GRU(4, return_sequences=True), X, None),
    "gru dropout": (lambda: GRU(4, use_bias=False, recurrent_dropout=0.5), X, MASK),
    "simple_rnn masked": (lambda: SimpleRNN(4), X, MASK),
    "conv_lstm": (lambda: ConvLSTM2D(2, 3), IMAGES, None),
}


def pure(layer, x, mask):
    """Returns a layer in training as a function of its weights, input and key, and such weights."""
    layer(x)
    ids = [id(w) for w in layer.weights]
    random = np.random.default_rng(1)
    weights = [random.normal(size=w.shape, scale=0.5).astype("float32") for w in layer.weights]

    def apply(weights, x, key):
        context = Context(dict(zip(ids, weights, strict=True)), True, key)
        return jnp.sum(jnp.sin(bind(layer, context, "layer")(x, mask=mask)))

    return apply, weights


def derivatives(apply, weights, x, random):
    """Returns derivatives of first and second order in all modes, and of three keys if random."""
    key, point = jax.random.key(0), (weights, x)
    along = jax.tree.map(
        lambda a: jnp.cos(jnp.arange(a.size, dtype=a.dtype)).reshape(a.shape), point
    )

    def gradient(weights, x, key=key):
        return jax.grad(apply, argnums=(0, 1))(weights, x, key)

    def slope(weights, x):
        return jax.jvp(lambda w, x: apply(w, x, key), (weights, x), along)[1]

    def everything():
        found = {
            "reverse": gradient(*point),
            "forward": slope(*point),
            "forward over reverse": jax.jvp(gradient, point, along)[1],
            "reverse over forward": jax.grad(slope, argnums=(0, 1))(*point),
        }
        if random:
            keys = jax.random.split(jax.random.key(1), 3)
            found["of several keys"] = jax.vmap(lambda key: gradient(*point, key))(keys)
        return found

    return jax.jit(everything)()


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in CASES]
)
def test_late_weights_have_the_derivatives_of_the_plain_loop(name, monkeypatch):
    make, x, mask = CASES[name]
    random = "dropout" in name
    apply, weights = pure(make(), x, mask)
    late = derivatives(apply, weights, x, random)
    layer = make()
    apply, _ = pure(layer, x, mask)
    monkeypatch.setattr(type(layer.cell), "recurrent_is_added", None)
    plain = derivatives(apply, weights, x, random)
    for mode, expected in plain.items():
        for ours, theirs in zip(jax.tree.leaves(late[mode]), jax.tree.leaves(expected)):
            # sums in another order
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5, err_msg=mode)


def test_gates_have_the_derivatives_of_their_values():
    gates, h, c = (RNG.normal(size=(2, n)) for n in (12, 9, 3))
    with enable_x64(True):
        check_grads(lstm_gates, (gates, c), 2, rtol=1e-3)
        check_grads(gru_gates, (h, h[:, ::-1].copy(), c), 2, rtol=1e-3)


def test_gates_are_those_of_any_activations():
    """The usual activations are recognised, and a function equal to them is not."""
    for kind, own in ((LSTM, LSTMCell), (GRU, GRUCell)):
        usual, other = kind(4), RNN(own(4, activation=lambda x: jnp.tanh(x)))
        usual(X)
        other(X)
        other.set_weights(usual.get_weights())
        np.testing.assert_allclose(usual(X), other(X), rtol=1e-5, atol=1e-6)


def test_a_step_of_a_subclass_is_differentiated_as_written():
    class Product(LSTMCell):
        def step(self, projected, states, mask):
            recurrent = self.recur(states[0], mask)
            return [jnp.tanh(projected * (1 + recurrent))[:, :4], states[1]]

    def by_hand(weights):
        kernel, recurrent, bias = weights
        h = jnp.zeros((3, 4))
        for x in np.swapaxes(X, 0, 1):
            h = jnp.tanh((x @ kernel + bias[None]) * (1 + h @ recurrent))[:, :4]
        return jnp.sum(jnp.sin(h))

    apply, weights = pure(RNN(Product(4)), X, None)
    ours = jax.jit(jax.grad(lambda w: apply(w, X, None)))(weights)
    for gradient, expected in zip(ours, jax.jit(jax.grad(by_hand))(weights)):
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_gradients_in_bfloat16_are_near_those_in_float32():
    def gradient(dtype):
        layer = LSTM(4, dtype=dtype, return_sequences=True)
        apply, weights = pure(layer, X, MASK)
        return jax.jit(jax.grad(lambda w: apply(w, X, None).astype("float32")))(weights)

    for ours, exact in zip(gradient("mixed_bfloat16"), gradient("float32")):
        assert ours.dtype == jnp.float32
        # 8 bits, five steps
        np.testing.assert_allclose(ours, exact, rtol=0.1, atol=0.05)
