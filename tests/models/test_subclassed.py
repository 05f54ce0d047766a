"""Subclassed models: layers in `__init__`, the computation in `call`."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import kgraph
from kgraph import Input, Model
from kgraph.errors import ConfigError, StateError
from kgraph.layers import BatchNormalization, Dense, Dropout
from kgraph.layers.base.tree import named_weights

ONES = np.ones((2, 3), np.float32)


class MLP(Model):
    def __init__(self, width: int = 4, **options):
        super().__init__(**options)
        self.dense_1 = Dense(width, activation="relu")
        self.drop = Dropout(0.5)
        self.rest = [Dense(width), BatchNormalization()]
        self.dense_2 = Dense(2)

    def call(self, inputs, training=None):
        x = self.drop(self.dense_1(inputs), training=training)
        for layer in self.rest:
            x = layer(x, training=training)
        return self.dense_2(x)


def test_weights_come_with_the_first_call():
    model = MLP()
    assert model.weights == []
    assert model(ONES).shape == (2, 2)
    assert [path for path, _ in named_weights(model)] == [
        "dense_1/kernel", "dense_1/bias", "rest/0/kernel", "rest/0/bias",
        "rest/1/gamma", "rest/1/beta", "rest/1/moving_mean", "rest/1/moving_variance",
        "dense_2/kernel", "dense_2/bias",
    ]  # fmt: skip


def test_it_is_lowered_after_a_call():
    model = MLP()
    wanted = model(ONES)
    program = kgraph.lower(model)
    variables = model.variables_for(program)
    np.testing.assert_allclose(program.apply(variables, ONES)[0], wanted, rtol=1e-6)
    assert sorted(variables["params"]) == ["dense_1", "dense_2", "rest"]
    _, state = program.apply(variables, ONES, training=True, key=jax.random.key(0))
    assert list(state["rest"]["1"]) == ["moving_mean", "moving_variance"]


def test_it_is_part_of_a_functional_model():
    inner = MLP()
    x = Input((3,))
    model = Model(x, inner(x))
    np.testing.assert_allclose(model(ONES), inner(ONES), rtol=1e-6)
    assert [layer.name for layer in model.layers] == ["input_layer", "mlp"]


def test_layers_and_get_layer():
    model = MLP()
    assert len(model.layers) == 5
    assert model.get_layer("dense_1") is model.dense_1


def test_training_draws_and_updates():
    model = MLP(64)
    model(ONES)
    before = model.get_weights()
    one, two = model(ONES, training=True), model(ONES, training=True)
    assert not np.array_equal(one, two)
    assert not np.array_equal(before[6], model.get_weights()[6])


def test_dict_inputs_and_outputs():
    class Named(Model):
        def __init__(self):
            super().__init__()
            self.dense = Dense(2)

        def call(self, inputs):
            return {"sum": self.dense(inputs["a"] + inputs["b"])}

    model = Named()
    assert model({"a": ONES, "b": ONES})["sum"].shape == (2, 2)


def test_it_has_no_symbols_of_its_own():
    model = MLP()
    model(ONES)
    with pytest.raises(StateError, match="not a functional model"):
        _ = model.input


def test_a_model_without_a_call():
    class Empty(Model):
        pass

    with pytest.raises(ConfigError, match=r"has no call method[\s\S]*Model\(inputs, outputs\)"):
        Empty()(ONES)


def test_config_is_recorded():
    model = MLP(7, name="mine")
    again = MLP.from_config(model.get_config())
    assert again.name == "mine"
    assert again.dense_1.units == 7
