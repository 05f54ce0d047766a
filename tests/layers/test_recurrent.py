"""Recurrent layers beyond the table: states, cells of users, dropout over time, options."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from checks import assert_near, relaxed

from kgraph.errors import ConfigError, GraphError, StateError
from kgraph.layers.base import Context, Input, Layer
from kgraph.layers.base.binding import bind
from kgraph.layers.core import Dense
from kgraph.layers.recurrent import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    ConvLSTM2D,
    GRUCell,
    LSTMCell,
    SimpleRNN,
    StackedRNNCells,
    TimeDistributed,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 2)).astype("float32")


def twins(ours, theirs, x=X):
    """Returns both layers, built on `x`, with the weights of Keras."""
    with relaxed():
        theirs(x)
    ours(jnp.asarray(x))
    ours.set_weights(theirs.get_weights())
    return ours, theirs


def in_training(layer, x, seed=0):
    """Returns the outputs of a layer in training, on its own weights."""
    values = {id(w): w.value for w in layer.weights}
    return bind(layer, Context(values, True, jax.random.key(seed)), layer.name)(jnp.asarray(x))


def pure(layer, x, key=None, **options):
    """Returns a built layer as a function of its weights, the input and a key, and its weights."""
    layer(x)
    ids = [id(w) for w in layer.weights]

    def apply(weights, x, key=key):
        context = Context(dict(zip(ids, weights, strict=True)), key is not None, key)
        return bind(layer, context, layer.name)(x, **options)

    return apply, [jnp.asarray(w.value) for w in layer.weights]


# --- states --------------------------------------------------------------------------------------


def test_initial_state_may_be_symbols_and_arrays():
    ours, theirs = twins(LSTM(4, return_state=True), keras.layers.LSTM(4, return_state=True))
    h, c = RNG.normal(size=(2, 3, 4)).astype("float32")
    symbols = ours(Input(("time", 2)), initial_state=[Input((4,)), Input((4,))])
    assert [s.symbolic_shape for s in symbols] == [("batch", 4)] * 3
    with relaxed():
        expected = theirs(X, initial_state=[h, c])
    for one, two in zip(ours(X, initial_state=[h, c]), expected):
        assert_near(one, two, 1e-5)


def test_initial_state_of_both_directions():
    ours, theirs = twins(Bidirectional(GRU(3)), keras.layers.Bidirectional(keras.layers.GRU(3)))
    states = list(RNG.normal(size=(2, 3, 3)).astype("float32"))
    with relaxed():
        expected = theirs(X, initial_state=states)
    assert_near(ours(X, initial_state=states), expected, 1e-5)


def test_a_masked_first_step_repeats_the_initial_state():
    mask = np.array([[False, True, True, False, False]] * 3)
    ours, theirs = twins(GRU(4, return_sequences=True), keras.layers.GRU(4, return_sequences=True))
    h = RNG.normal(size=(3, 4)).astype("float32")
    result = ours(X, initial_state=[h], mask=mask)
    with relaxed():
        assert_near(result, theirs(X, initial_state=[h], mask=mask), 1e-5)
    np.testing.assert_array_equal(result[:, 0], h)
    np.testing.assert_array_equal(result[:, 2], result[:, 4])


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
def test_stateful_layers_continue_where_they_stopped(name):
    kind = {"LSTM": LSTM, "GRU": GRU, "SimpleRNN": SimpleRNN}[name]
    whole = kind(4)
    expected = whole(X)
    kept = kind(4, stateful=True)
    kept(X[:, :2])
    kept.cell.set_weights(whole.get_weights())
    kept.reset_state()
    kept(X[:, :2])
    assert_near(kept(X[:, 2:]), expected, 1e-6)
    kept.reset_state()
    assert all(not np.any(w.numpy()) for w in kept.states)
    assert_near(kept(X), expected, 1e-6)


def test_states_are_state_in_the_layers_weights():
    layer = RNN([LSTMCell(4), GRUCell(3)], stateful=True)
    layer(Input(batch_shape=(3, 5, 2)))
    kept = list(layer.non_trainable_weights)
    assert [w.shape for w in kept] == [(3, 4), (3, 4), (3, 3)]
    before = [w.numpy() for w in kept]
    layer(X)
    assert all(np.any(w.numpy() != old) for w, old in zip(kept, before))


def test_stateful_bidirectional_resets_both():
    layer = Bidirectional(LSTM(4, stateful=True))
    first = layer(X)
    assert np.any(np.asarray(layer(X)) != first)
    layer.reset_state()
    assert_near(layer(X), first, 1e-6)
    assert len(layer.states) == 4


def test_stateful_conv_lstm_continues():
    x = RNG.normal(size=(2, 4, 5, 5, 1)).astype("float32")
    layer = ConvLSTM2D(2, 3, stateful=True)
    layer(x[:, :2])
    second = layer(x[:, 2:])
    layer.reset_state()
    assert_near(layer(x), second, 1e-5)


def test_an_unknown_batch_cannot_be_stateful():
    with pytest.raises(GraphError, match=r"known batch size[\s\S]*test_recurrent\.py:\d+"):
        LSTM(4, stateful=True)(Input((5, 2)))


def test_an_unknown_time_cannot_be_unrolled():
    with pytest.raises(GraphError, match=r"unrolled only if[\s\S]*unroll=False"):
        LSTM(4, unroll=True)(Input((None, 2)))


# --- cells ---------------------------------------------------------------------------------------


class Decay(Layer):
    """A cell with nested states, an output of another size, and a layer built by its first call."""

    state_size = (3, [3, 1])
    output_size = 2

    def __init__(self, **options):
        super().__init__(**options)
        self.dense = Dense(3)
        self.out = Dense(2, use_bias=False)

    def get_initial_state(self, batch_size=None):
        ones = jnp.ones((batch_size, 1))
        return [jnp.zeros((batch_size, 3)), [jnp.zeros((batch_size, 3)), ones]]

    def call(self, inputs, states):
        level, (total, count) = states
        level = 0.5 * level + self.dense(inputs)
        return self.out(level), (level, (total + level, count + 1))


def by_hand(layer, x):
    kernel, bias, out = layer.get_weights()
    level, outputs = 0, []
    for step in np.swapaxes(x, 0, 1):
        level = 0.5 * level + step @ kernel + bias
        outputs.append(level @ out)
    return np.stack(outputs, 1)


def test_a_cell_of_the_users_with_nested_states():
    layer = RNN(Decay(), return_sequences=True, return_state=True)
    symbols = layer(Input(("time", 2)))
    assert symbols[0].symbolic_shape == ("batch", "time", 2)
    outputs, level, (total, count) = layer(X)
    assert_near(outputs, by_hand(layer, X), 1e-5)
    np.testing.assert_array_equal(count, np.full((3, 1), 6.0))
    assert level.shape == total.shape == (3, 3)


def test_a_masked_cell_of_the_users_repeats_its_output():
    layer = RNN(Decay(), return_sequences=True)
    layer(X)
    mask = np.array([[True, True, False, True, False]] * 3)
    outputs = layer(X, mask=mask)
    expected = by_hand(layer, X[:, [0, 1, 3]])
    assert_near(outputs, expected[:, [0, 1, 1, 2, 2]], 1e-5)


def test_constants_reach_the_cell():
    class Add(Layer):
        state_size = 2

        def call(self, inputs, states, constants=None):
            return inputs + constants[0], [states[0] + 1]

    offset = np.full((3, 2), 7, "float32")
    assert_near(RNN(Add(), return_sequences=True)(X, constants=[offset]), X + 7, 1e-6)


def test_an_overridden_call_of_a_builtin_cell_is_run():
    class Doubled(GRUCell):
        def call(self, inputs, states, training=None):
            output, after = super().call(inputs, states, training)
            return 2 * output, after

    plain, doubled = RNN(GRUCell(4)), RNN(Doubled(4))
    plain(X)
    doubled(X)
    doubled.set_weights(plain.get_weights())
    assert_near(doubled(X), 2 * plain(X), 1e-6)


def test_state_inside_a_cell_is_refused():
    class Counting(Layer):
        state_size = 2

        def build(self, input_shape):
            self.count = self.add_weight((), "zeros", trainable=False)

        def call(self, inputs, states):
            self.count = self.count + 1
            return inputs, states

    with pytest.raises(StateError, match="inside the loop over time"):
        RNN(Counting())(X)


def test_what_is_no_cell_is_refused():
    with pytest.raises(ConfigError, match=r"RNN needs a cell[\s\S]*state_size"):
        RNN(Dense(4))
    with pytest.raises(ConfigError, match="StackedRNNCells needs cells"):
        StackedRNNCells([LSTMCell(2), "lstm"])


def test_states_of_a_wrong_size_are_reported():
    class Wrong(Layer):
        state_size = 2

        def call(self, inputs, states):
            return inputs, [jnp.zeros((inputs.shape[0], 3))]

    with pytest.raises(GraphError, match=r"states of the shapes[\s\S]*received"):
        RNN(Wrong())(X)


# --- the loop ------------------------------------------------------------------------------------


def products(text, trips):
    """Returns how many matrix products a compiled program has, and how many are in its loops."""
    loops = set(re.findall(r"body=(%[\w.]+)", text))
    assert len(loops) == trips
    parts = re.split(r"\n(?=(?:ENTRY )?%\S+ \()", text)
    inside = [part for part in parts if part.split(" ")[0] in loops]
    called = {name for part in inside for name in re.findall(r"calls=(%[\w.]+)", part)}
    inside += [part for part in parts if part.split(" ")[0] in called]
    return text.count(" dot("), sum(part.count(" dot(") for part in inside)


@pytest.mark.parametrize("kind", [LSTM, GRU, SimpleRNN])
def test_one_product_of_a_step_is_in_the_loop_and_one_in_the_loop_backwards(kind):
    layer, mask = kind(4), np.array([[True, True, False, True, True]] * 3)
    apply, weights = pure(layer, X, mask=mask)

    def compiled(function):
        return jax.jit(function).lower(weights, X).compile().as_text()

    # outside: the input's product forwards; backwards, the gradients of both kernels and the input
    assert products(compiled(apply), 1) == (2, 1)
    gradients = jax.grad(lambda w, x: jnp.sum(apply(w, x) ** 2), argnums=(0, 1))
    assert products(compiled(gradients), 2) == (6, 2)


def test_runs_under_shard_map():
    layer = LSTM(4, return_sequences=True)
    expected = layer(X)
    values = {id(w): w.value for w in layer.weights}
    auto = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((3,), ("data",), axis_types=auto, devices=jax.devices()[:3])
    spec = jax.sharding.PartitionSpec("data")

    def run(x):
        return bind(layer, Context(values), layer.name)(x)

    result = jax.shard_map(run, mesh=mesh, in_specs=spec, out_specs=spec)(X)
    assert_near(result, expected, 1e-6)


# --- dropout -------------------------------------------------------------------------------------


def test_dropped_inputs_are_the_same_at_every_step_and_scaled():
    layer = SimpleRNN(
        64, activation=None, dropout=0.25, return_sequences=True,
        kernel_initializer="identity", recurrent_initializer="zeros",
    )  # fmt: skip
    x = np.ones((50, 4, 64), "float32")
    layer(x)
    result = np.asarray(in_training(layer, x))
    np.testing.assert_array_equal(result, np.repeat(result[:, :1], 4, 1))
    assert set(np.unique(result)) == {np.float32(0), np.float32(1 / 0.75)}
    # 3200 draws: the standard deviation of the rate is 0.0077
    assert abs(np.mean(result[:, 0] == 0) - 0.25) < 0.04


@pytest.mark.parametrize("wrapped", [False, True])
def test_recurrent_dropout_is_the_same_at_every_step(wrapped):
    layer = SimpleRNN(
        64, activation=None, recurrent_dropout=0.5, return_sequences=True,
        kernel_initializer="zeros", recurrent_initializer="identity",
    )  # fmt: skip
    if wrapped:  # the cell is called step by step
        layer = RNN([layer.cell], return_sequences=True)
    x = np.zeros((20, 3, 1), "float32")
    layer(x)
    h = np.ones((20, 64), "float32")
    values = {id(w): w.value for w in layer.weights}
    context = Context(values, True, jax.random.key(0))
    state = [[h]] if wrapped else [h]
    result = np.asarray(bind(layer, context, "x")(jnp.asarray(x), initial_state=state))
    assert set(np.unique(result[:, 0])) == {0.0, 2.0}
    np.testing.assert_array_equal(result[:, 1], 2 * result[:, 0])
    np.testing.assert_array_equal(result[:, 2], 4 * result[:, 0])


def test_gates_have_masks_of_their_own_with_recurrent_dropout():
    cell = LSTMCell(8, dropout=0.5, recurrent_dropout=0.5)
    assert cell.gates_with_own_masks == 4
    assert LSTMCell(8, dropout=0.5).gates_with_own_masks is None
    layer = RNN(cell)
    layer(X)
    assert np.any(in_training(layer, X) != in_training(layer, X, seed=1))


def test_a_seed_decides_the_dropout():
    def outputs(seed):
        layer = GRU(8, dropout=0.5, seed=seed, kernel_initializer="ones")
        layer(X)
        layer.set_weights([np.full(w.shape, 0.1, "float32") for w in layer.weights])
        return np.asarray(in_training(layer, X))

    np.testing.assert_array_equal(outputs(3), outputs(3))
    assert np.any(outputs(3) != outputs(4))


# --- wrappers and options ------------------------------------------------------------------------


def test_directions_are_made_from_the_options_and_named():
    layer = LSTM(4, activation=lambda x: x, name="words")
    both = Bidirectional(layer)
    assert both.forward_layer.name == "forward_words"
    assert both.backward_layer.name == "backward_words"
    assert both.backward_layer.go_backwards
    both(X)
    assert len(both.weights) == 6
    assert not layer.built


def test_a_cell_is_not_shared_by_both_directions():
    both = Bidirectional(RNN(LSTMCell(4)))
    both(X)
    assert both.forward_layer.cell is not both.backward_layer.cell
    assert len(both.weights) == 6


def test_bidirectional_starts_with_given_weights():
    start = Bidirectional(GRU(2))
    start(X)
    again = Bidirectional(GRU(2), weights=start.get_weights())
    assert_near(again(X), start(X), 1e-6)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: LSTM(0), "whole number of at least 1"),
        (lambda: GRU(2, dropout=1.5), "a number from 0 to 1"),
        (lambda: GRU(2, use_cudnn=True), "JAX offers cuDNN's LSTM only"),
        (lambda: LSTM(2, "relu", use_cudnn=True), r"tanh for its output[\s\S]*use_cudnn=\"auto\""),
        (lambda: LSTM(2, recurrent_dropout=0.1, use_cudnn=True), "no recurrent_dropout"),
        (lambda: LSTM(2, unroll=True, use_cudnn=True), "cannot be unrolled"),
        (lambda: LSTM(2, dtype="bfloat16", use_cudnn=True), "float32 only, not in bfloat16"),
        (lambda: LSTM(2, use_cudnn="yes"), "use_cudnn"),
        (lambda: Bidirectional(LSTM(2), merge_mode="add"), "'concat'"),
        (lambda: Bidirectional(Dense(2)), "wraps a recurrent layer"),
        (
            lambda: Bidirectional(LSTM(2), backward_layer=LSTM(2)),
            "opposite directions",
        ),
        (
            lambda: Bidirectional(
                LSTM(2), backward_layer=LSTM(2, go_backwards=True, return_sequences=True)
            ),
            "same return_sequences",
        ),
        (lambda: TimeDistributed("dense"), "wraps a Layer"),
        (lambda: ConvLSTM2D(2, (3, 3, 3)), "cannot use this kernel_size"),
        (lambda: ConvLSTM2D(2, 3, strides=2, dilation_rate=2), "not both"),
        (lambda: ConvLSTM2D(2, 3, padding="full"), "padding"),
    ],
)
def test_options_that_cannot_be(make, text):
    with pytest.raises(ConfigError, match=text):
        make()


def test_time_distributed_passes_the_mask_to_a_layer_that_takes_one():
    class Zero(Layer):
        def call(self, inputs, mask=None):
            return jnp.where(mask[:, None], inputs, 0)

    mask = np.array([[True, True, False, False, True]] * 3)
    layer = TimeDistributed(Zero())
    assert_near(layer(X, mask=mask), X * mask[..., None], 1e-6)


def test_conv_lstm_takes_images_of_unknown_size():
    layer = ConvLSTM2D(2, 3, return_sequences=True)
    symbol = layer(Input(("time", "rows", "columns", 1)))
    assert symbol.symbolic_shape == ("batch", "time", "rows - 2", "columns - 2", 2)
