"""Weights as variables in `call`, as layers written for Keras have them; Keras is the oracle."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from checks import relaxed

import kgraph
from kgraph.errors import StateError

X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = np.random.default_rng(1).normal(size=(8, 2)).astype("float32")


def counting(library: Any) -> Any:
    """Returns a layer class as programs for Keras write it, made of `library`."""
    ops = library.ops

    class Counting(library.layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.dense = library.layers.Dense(2, kernel_initializer="ones")
            self.calls = self.add_weight(
                shape=(), initializer="zeros", trainable=False, name="calls"
            )
            self.means = {"of": [self.add_weight(shape=(3,), initializer="zeros", trainable=False)]}
            self.factor = library.Variable(2.0, name="factor")

        def build(self, input_shape):
            self.dense.build(input_shape)

        def call(self, inputs):
            self.calls.assign_add(1.0)
            mean = self.means["of"][0]
            mean.assign(0.9 * mean + 0.1 * ops.mean(inputs, axis=0))
            self.add_loss(0.01 * ops.sum(ops.square(self.dense.kernel.value)))
            pull = sum(ops.sum(w.value) for w in self.dense.trainable_weights)
            return self.dense(inputs - self.means["of"][0][None]) * self.factor + 0.0 * pull

    return Counting


def trained(library: Any) -> Any:
    layer = counting(library)()
    model = library.Sequential([library.Input((3,)), layer])
    model.compile(library.optimizers.SGD(0.05), "mse")
    model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    return layer


def test_state_and_weights_are_those_of_keras_after_training():
    with relaxed():
        ours, theirs = trained(kgraph), trained(keras)
    assert float(ours.calls) == float(theirs.calls) == 4
    pairs = [(ours.means["of"][0], theirs.means["of"][0]), (ours.factor, theirs.factor)]
    pairs += list(zip(ours.dense.weights, theirs.dense.weights))
    for one, other in pairs:
        np.testing.assert_allclose(one.numpy(), np.asarray(other), rtol=2e-6, atol=1e-7)


def test_calls_on_arrays_keep_what_they_assign():
    ours, theirs = counting(kgraph)(), counting(keras)()
    with relaxed():
        one, other = [[layer(X) for _ in range(3)][-1] for layer in (ours, theirs)]
    np.testing.assert_allclose(one, np.asarray(other), rtol=2e-6, atol=1e-7)
    assert float(ours.calls) == float(theirs.calls) == 3


def test_calls_of_a_model_keep_what_its_layers_assign():
    layers = [counting(library)() for library in (kgraph, keras)]
    with relaxed():
        models = [
            library.Sequential([library.Input((3,)), layer])
            for library, layer in zip((kgraph, keras), layers)
        ]
        for model in models:
            model(X)
            model(X, training=True)
        assert float(layers[0].calls) == float(layers[1].calls) == 2
        with kgraph.StatelessScope([(layers[0].calls, 10.0)]) as scope:
            models[0](X)
    assert float(layers[0].calls) == 2
    assert float(scope.get_current_value(layers[0].calls)) == 11


def assigning(layer: Any) -> None:
    layer.n.assign_add(1.0)


class Tools:
    def count(self, variable: Any) -> None:
        variable.assign_add(1.0)


class Base(kgraph.layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.n = self.add_weight(shape=(), initializer="zeros", trainable=False)


class ByFunction(Base):
    def call(self, inputs):
        assigning(self)
        return inputs + self.n


class ByTools(Base):
    def __init__(self, **options):
        super().__init__(**options)
        self.tools = Tools()

    def call(self, inputs):
        self.tools.count(self.n)
        return inputs + self.n


class ByName(Base):
    def call(self, inputs):
        getattr(self.n, "assign" + "_add" if False else "assign")(self.n + 1.0)
        return inputs + self.n


class Inherited(ByFunction):
    pass


@pytest.mark.parametrize("kind", [ByFunction, ByTools, ByName, Inherited])
def test_classes_that_speak_of_variables_are_found(kind):
    layer = kind()
    np.testing.assert_array_equal(layer(jnp.zeros(2)), [1.0, 1.0])
    np.testing.assert_array_equal(layer(jnp.zeros(2)), [2.0, 2.0])


FUNCTIONS = {
    "jnp": lambda w: jnp.sum(w) + jnp.dot(w, w)[0, 0] + jnp.where(w > 0, w, 0)[0, 0],
    "nn": lambda w: jax.nn.relu(w) + jax.nn.softmax(w),
    "lax": lambda w: jax.lax.exp(w) + jax.lax.dot(w, w),
    "operators": lambda w: (1 - w) @ w + w[:1][0, 0] + w.T + w.at[0].set(0.0) + abs(w) ** 2,
    "methods": lambda w: w.sum() + w.astype("float32").reshape(-1)[0],
    "jit": lambda w: jax.jit(jnp.sin)(w),
    "vmap": lambda w: jax.vmap(jnp.sum)(w),
    "grad": lambda w: jax.grad(lambda a: jnp.sum(a * w))(w),
    "scan": lambda w: jax.lax.scan(lambda c, row: (c + row, c * jnp.sum(w)), w[0], w),
    "cond": lambda w: jax.lax.cond(w[0, 0] > 0, lambda: jnp.exp(w), lambda: w + 0),
    "checkpoint": lambda w: jax.checkpoint(jnp.sin)(w),
    "tree": lambda w: jax.tree.map(jnp.cos, {"w": w}),
}


class Reading(kgraph.layers.Layer):
    """A class that speaks of variables, so its weight is a handle."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.w = self.add_weight(shape=(2, 2), initializer="ones", trainable=False)

    def call(self, inputs):
        self.w.assign(self.w * 2.0)
        return jax.tree.map(lambda a: a + inputs, self.function(self.w))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_jax_take_the_arrays_that_can_be_assigned(name):
    function = FUNCTIONS[name]
    expected = function(jnp.full((2, 2), 2.0))
    one = jnp.zeros(())
    layer = Reading(function)
    jax.tree.map(np.testing.assert_allclose, layer(one), expected)

    def pure(w: Any) -> Any:
        with kgraph.StatelessScope([(layer.w, w)]):
            return layer(one)

    jax.tree.map(np.testing.assert_allclose, jax.jit(pure)(jnp.ones((2, 2))), expected)


def test_gradients_go_through_them():
    layer = Reading(lambda w: jnp.sum(w**3))

    def pure(w: Any) -> Any:
        with kgraph.StatelessScope([(layer.w, w)]):
            return layer(jnp.zeros(()))

    np.testing.assert_allclose(jax.grad(pure)(jnp.ones((2, 2))), np.full((2, 2), 24.0))


def test_an_assignment_inside_a_scan_is_refused():
    class Scanning(Base):
        def call(self, inputs):
            def body(carry, _):
                self.n.assign_add(1.0)
                return carry, None

            return jax.lax.scan(body, inputs, None, length=2)[0]

    with pytest.raises(StateError, match="a function that JAX traces apart"):
        Scanning()(kgraph.Input((3,)))


def test_a_trained_weight_that_a_call_assigns():
    class Halving(kgraph.layers.Layer):
        def __init__(self):
            super().__init__()
            self.w = self.add_weight(shape=(3,), initializer="ones")

        def call(self, inputs):
            self.w.assign(self.w * 0.5)
            return inputs * self.w[None]

    layer = Halving()
    layer(X)
    np.testing.assert_array_equal(layer.w.numpy(), np.full(3, 0.5))  # kept, as in Keras
    model = kgraph.Sequential([kgraph.Input((3,)), layer])
    with pytest.warns(UserWarning, match="holds for this run only"):
        model.predict(X, verbose=0)
    layer.trainable = False
    with pytest.raises(StateError, match="frozen parameter"):
        model.predict(X, verbose=0)


def test_layers_made_in_a_call():
    class Making(kgraph.layers.Layer):
        def call(self, inputs):
            return kgraph.layers.Dense(2)(inputs)

    class Plain(kgraph.layers.Layer):
        def call(self, inputs):
            return kgraph.layers.Dropout(0.5)(kgraph.layers.Add()([inputs, inputs]))

    for inputs in (X, kgraph.Input((3,))):
        with pytest.raises(StateError, match="'kernel' while a call runs"):
            Making()(inputs)
    model = kgraph.Sequential([kgraph.Input((3,)), Plain()])
    one, other = model(X, training=True), model(X, training=True)
    assert not np.array_equal(one, other)  # the key is the run's, and no constant of the trace
    assert set(np.unique(np.round(np.asarray(one) / X, 4))) == {0.0, 4.0}


def test_weights_that_are_not_cast():
    class Both(kgraph.layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.kept = self.add_weight(shape=(), autocast=False)
            self.cast = self.add_weight(shape=())

        def call(self, inputs):
            self.seen = self.kept.dtype, self.cast.dtype
            assert (self.kept.dtype, self.cast.dtype) == (jnp.float32, jnp.bfloat16)
            return inputs

    Both(dtype="mixed_bfloat16")(X)


def test_paths_are_those_of_keras():
    def paths(library: Any) -> list[list[str]]:
        layers = library.layers
        attention = layers.MultiHeadAttention(2, 4, name="attn")
        attention.build((2, 3, 4), (2, 3, 4))
        outer = counting(library)(name="outer")
        outer(X)
        recurrent = layers.Bidirectional(layers.LSTM(2, name="lstm"), name="both")
        recurrent.build((1, 3, 2))
        found = [[v.path for v in layer.weights] for layer in (attention, outer, recurrent)]
        return [sorted(p for p in one if "seed_generator" not in p) for one in found]

    with relaxed():
        ours, theirs = paths(kgraph), paths(keras)
    assert ours[0] == theirs[0]
    assert ours[2] == theirs[2]
    assert {"outer/calls", "outer/dense/kernel", "outer/dense/bias"} <= set(ours[1])


def test_paths_follow_the_name_that_a_model_gives():
    one, two = kgraph.layers.Dense(2), kgraph.layers.Dense(2)
    inputs = kgraph.Input((3,))
    outputs = two(one(inputs))
    assert two.kernel.path == "dense/kernel"
    kgraph.Model(inputs, outputs)
    assert (two.kernel.path, two.path) == ("dense_1/kernel", "dense_1")
