"""The contract of layers: what a user's own layer may do, and what kgraph does with it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from checks import relaxed

from kgraph.errors import GraphError, StateError
from kgraph.layers.base import Context, Input, Layer, create_values
from kgraph.layers.base.binding import bind, updates
from kgraph.layers.base.tree import named_weights
from kgraph.layers.core import Dense

ONES = np.ones((2, 3), "float32")


def run(layer: Layer, *args: Any, training: bool | None = None, key: Any = None, **kwargs: Any):
    """Runs a layer purely; returns its output and the context of the run."""
    create_values(named_weights(layer))
    context = Context({id(w): w.value for w in layer.weights}, training, key)
    return bind(layer, context, layer.name)(*args, **kwargs), context


class Linear(Layer):
    """A layer as users write it."""

    def __init__(self, units: int = 4, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="ones")
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True)

    def call(self, inputs):
        return jnp.matmul(inputs, self.w) + self.b[None]


# --- weights -------------------------------------------------------------------------------------


def test_weights_of_build_take_the_names_of_their_attributes():
    layer = Linear()
    assert layer(Input((3,))).shape == (None, 4)
    assert [path for path, _ in named_weights(layer)] == ["w", "b"]
    assert [weight.name for weight in layer.weights] == ["w", "b"]
    np.testing.assert_array_equal(layer(ONES), np.full((2, 4), 3))


def test_weights_may_be_made_in_the_constructor_and_without_an_attribute():
    class Early(Layer):
        def __init__(self):
            super().__init__()
            self.rows = [self.add_weight((3,), "ones"), self.add_weight((3,), "ones", name="own")]

        def call(self, inputs):
            return inputs * (self.rows[0] + self.rows[1])[None]

    layer = Early()
    np.testing.assert_array_equal(layer(ONES), 2 * ONES)
    assert [path for path, _ in named_weights(layer)] == ["rows_0", "own"]


def test_inside_call_a_weight_is_an_array_and_outside_it_is_not():
    seen = []

    class Look(Linear):
        def call(self, inputs):
            seen.append(self.w)
            return super().call(inputs)

    layer = Look()
    layer(ONES)
    assert isinstance(seen[0], jax.Array)
    assert not isinstance(layer.w, jax.Array)
    assert layer.w.shape == (3, 4)


def test_building_a_graph_makes_no_array():
    layer = Dense(4)
    layer(Input((3,)))
    assert not any(weight.has_value for weight in layer.weights)
    layer.get_weights()
    assert all(weight.has_value for weight in layer.weights)


def test_count_params_and_weight_lists_before_and_after_build():
    layer = Dense(4)
    with pytest.raises(
        StateError, match=r"'dense' \(Dense\) has no weights yet[\s\S]*call it once"
    ):
        layer.count_params()
    assert layer.weights == []
    layer.build((None, 3))
    assert layer.count_params() == 16


def _mixed(base: type, dense: type, array: Any) -> Any:
    """Returns a layer of either library with weights of its own, state, and layers inside."""

    class Mixed(base):
        def __init__(self):
            super().__init__()
            self.inner = [dense(2), dense(3, use_bias=False)]

        def build(self, input_shape):
            self.count = self.add_weight(
                shape=(), initializer="zeros", trainable=False, name="count"
            )
            self.scale = self.add_weight(shape=(3,), initializer="ones", name="scale")
            self.built = True

        def call(self, inputs):
            x = inputs * array(self.scale)
            for layer in self.inner:
                x = layer(x)
            return x

    return Mixed()


def test_order_of_weights_is_that_of_keras():
    ours = _mixed(Layer, Dense, lambda w: w[None])
    ours(ONES)
    with relaxed():
        theirs = _mixed(keras.layers.Layer, keras.layers.Dense, lambda w: w)
        theirs(ONES)
        values = [np.full(w.shape, i, "float32") for i, w in enumerate(theirs.weights)]
        theirs.set_weights(values)
        expected = np.array(theirs(ONES))
    assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    ours.set_weights(values)
    np.testing.assert_allclose(ours(ONES), expected, rtol=1e-6)
    for one, two in zip(ours.get_weights(), values, strict=True):
        np.testing.assert_array_equal(one, two)


def test_trainable_reaches_layers_inside_and_can_be_given_back():
    class Outer(Layer):
        def __init__(self):
            super().__init__()
            self.inner = Dense(2)

        def call(self, inputs):
            return self.inner(inputs)

    outer = Outer()
    outer(Input((3,)))
    assert len(outer.trainable_weights) == 2
    outer.trainable = False
    assert outer.inner.trainable is False
    assert outer.trainable_weights == []
    assert len(outer.non_trainable_weights) == 2
    outer.trainable = True
    outer.inner.trainable = False
    assert outer.trainable_weights == []
    assert len(outer.weights) == 2


# --- layers inside layers ------------------------------------------------------------------------


def test_layers_in_lists_dicts_and_nested_are_found_and_bound():
    class Nest(Layer):
        def __init__(self):
            super().__init__()
            self.steps = [Dense(3), [Dense(3)]]
            self.heads = {"a": Dense(2), "b": (Dense(2),)}

        def call(self, inputs):
            x = self.steps[1][0](self.steps[0](inputs))
            return {"a": self.heads["a"](x), "b": self.heads["b"][0](x)}

    layer = Nest()
    outputs = layer(Input((3,)))
    assert outputs["b"].shape == (None, 2)
    paths = [path for path, _ in named_weights(layer)]
    assert paths[::2] == [
        "steps/0/kernel", "steps/1/0/kernel", "heads/a/kernel", "heads/b/0/kernel",
    ]  # fmt: skip


def test_layers_may_be_made_in_build():
    class Late(Layer):
        def build(self, input_shape):
            self.inner = Dense(input_shape[-1])

        def call(self, inputs):
            return self.inner(inputs)

    layer = Late()
    assert layer(Input((5,))).shape == (None, 5)
    assert [path for path, _ in named_weights(layer)] == ["inner/kernel", "inner/bias"]
    assert layer(np.ones((2, 5), "float32")).shape == (2, 5)


def test_layers_are_built_when_an_outer_call_first_uses_them():
    class CustomRNN(Layer):  # of the Functional API guide
        def __init__(self, units=4):
            super().__init__()
            self.units = units
            self.projection_1 = Dense(units=units, activation="tanh")
            self.projection_2 = Dense(units=units, activation="tanh")
            self.classifier = Dense(1)

        def call(self, inputs):
            outputs = []
            state = jnp.zeros(shape=(inputs.shape[0], self.units))
            for t in range(inputs.shape[1]):
                x = inputs[:, t, :]
                h = self.projection_1(x)
                y = h + self.projection_2(state)
                state = y
                outputs.append(y)
            features = jnp.stack(outputs, axis=1)
            return self.classifier(features)

    layer = CustomRNN()
    assert layer(Input((5, 3))).shape == (None, 5, 1)
    assert layer(np.zeros((1, 5, 3), "float32")).shape == (1, 5, 1)
    assert [w.shape for w in layer.weights[:3]] == [(3, 4), (4,), (4, 4)]
    assert len(layer.weights) == 6


def test_build_runs_once_also_when_the_user_calls_it():
    layer = Linear()
    layer.build((None, 3))
    layer.build((None, 3))
    layer(ONES)
    assert len(layer.weights) == 2


def test_a_shared_layer_has_one_set_of_weights():
    class Twice(Layer):
        def __init__(self, shared):
            super().__init__()
            self.first = self.second = shared

        def call(self, inputs):
            return self.second(self.first(inputs))

    layer = Twice(Dense(3))
    layer(ONES)
    assert len(layer.weights) == 2


# --- state ---------------------------------------------------------------------------------------


class RunningMean(Layer):
    """Keeps a moving mean, as BatchNormalization does."""

    def build(self, input_shape):
        self.mean = self.add_weight((input_shape[-1],), "zeros", trainable=False)

    def call(self, inputs, training=None):
        if training:
            self.mean = 0.5 * self.mean + 0.5 * jnp.mean(inputs, axis=0)
        return inputs - self.mean[None]


def test_state_is_updated_by_assignment_and_kept_by_eager_calls():
    layer = RunningMean()
    layer(ONES, training=True)
    np.testing.assert_array_equal(layer.mean.numpy(), [0.5] * 3)
    layer(ONES)
    np.testing.assert_array_equal(layer.mean.numpy(), [0.5] * 3)


def test_state_of_a_layer_that_is_called_twice_is_updated_twice():
    class Pair(Layer):
        def __init__(self):
            super().__init__()
            self.norm = RunningMean()

        def call(self, inputs):
            return self.norm(inputs) + self.norm(inputs)

    layer = Pair()
    out, context = run(_built(layer), jnp.asarray(ONES), training=True)
    changed = list(updates(context).values())
    assert len(changed) == 1
    np.testing.assert_array_equal(changed[0], [0.75] * 3)
    np.testing.assert_array_equal(out, 2 - ONES * (0.5 + 0.75))
    np.testing.assert_array_equal(layer.norm.mean.numpy(), [0] * 3)


def _built(layer: Layer) -> Layer:
    layer(Input((3,)))
    return layer


def test_state_cannot_be_updated_while_somebody_else_traces():
    layer = RunningMean()
    layer(ONES)
    with pytest.raises(StateError, match=r"inside a function that JAX is tracing"):
        jax.jit(lambda x: layer(x, training=True))(ONES)
    np.testing.assert_array_equal(layer.mean.numpy(), [0] * 3)


def test_a_trainable_weight_cannot_be_assigned():
    class Wrong(Linear):
        def call(self, inputs):
            self.b = self.b + 1
            return super().call(inputs)

    with pytest.raises(StateError, match=r"assigns its trainable weight 'b'[\s\S]*trainable=False"):
        Wrong()(ONES)


def test_nothing_leaks_when_call_raises():
    class Fails(Layer):
        def __init__(self):
            super().__init__()
            self.fail = True
            self.inner = Dense(3)

        def build(self, input_shape):
            self.count = self.add_weight((), "zeros", trainable=False)

        def call(self, inputs):
            self.count = self.count + 1
            self.extra = inputs
            out = self.inner(inputs)
            if self.fail:
                raise RuntimeError("no")
            return out

    layer = Fails()
    with pytest.raises(RuntimeError, match="no"):
        layer(ONES)
    with pytest.raises(
        GraphError, match=r"failed in its call: no[\s\S]*inside .*raise RuntimeError"
    ):
        layer(Input((3,)))
    assert layer.count.numpy() == 0
    assert not hasattr(layer, "extra")
    assert layer._kgraph.context is None
    layer.fail = False
    layer(ONES)
    assert layer.count.numpy() == 1
    assert len(layer.weights) == 3
