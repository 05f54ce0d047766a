"""Sequential models: with and without an input, growing and shrinking."""

from __future__ import annotations

import numpy as np
import pytest

from kgraph import Input, Model, Sequential
from kgraph.errors import ConfigError, GraphError, StateError
from kgraph.layers import Activation, Conv2D, Dense

ONES = np.ones((2, 3), np.float32)


def test_with_an_input_it_is_a_graph_from_the_start():
    model = Sequential([Input((3,)), Dense(4, "relu"), Dense(2)])
    assert [node.name for node in model.graph.nodes] == ["input_layer", "dense", "dense_1"]
    assert [layer.name for layer in model.layers] == ["dense", "dense_1"]
    assert model.output_shape == (None, 2)
    assert model.count_params() == 3 * 4 + 4 + 4 * 2 + 2


def test_without_an_input_it_waits_for_data():
    model = Sequential([Dense(4), Dense(2)])
    assert model.graph is None
    assert model.weights == []
    with pytest.raises(StateError, match="no weights yet"):
        model.count_params()
    assert model(ONES).shape == (2, 2)
    assert model.graph is not None
    assert model.input_shape == (None, 3)


def test_it_can_be_built_for_a_shape():
    model = Sequential([Dense(4)])
    model.build((None, 3))
    assert [w.shape for w in model.weights] == [(3, 4), (4,)]


def test_it_takes_symbols_before_data():
    model = Sequential([Dense(4)])
    x = Input((3,))
    assert Model(x, model(x))(ONES).shape == (2, 4)


def test_add_and_pop():
    model = Sequential()
    model.add(Input((3,)))
    model.add(Dense(4, name="first"))
    model.add(Dense(2, name="second"))
    assert model.output_shape == (None, 2)
    first = model.layers[0].get_weights()
    assert model.pop().name == "second"
    assert model.output_shape == (None, 4)
    model.add(Activation("relu"))
    assert [node.layer for node in model.graph.calls] == ["first", "activation"]
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], first[0])


def test_every_layer_has_its_output():
    model = Sequential([Input((3,)), *(Dense(i + 1) for i in range(5))])
    for i, layer in enumerate(model.layers):
        assert layer.output.shape == (None, i + 1)
    features = Model(model.inputs, [layer.output for layer in model.layers])
    assert [f.shape for f in features(ONES)] == [(2, i + 1) for i in range(5)]
    model.add(Dense(7))
    assert model.layers[0].output.shape == (None, 1)


def test_a_layer_that_does_not_fit_is_not_added():
    model = Sequential([Input((3,)), Dense(4)])
    with pytest.raises(GraphError, match=r"cannot take an input with 2 axes"):
        model.add(Conv2D(2, 3))
    assert len(model.layers) == 1
    assert model(ONES).shape == (2, 4)


def test_what_cannot_stand_in_it():
    dense = Dense(3)
    with pytest.raises(ConfigError, match="already in this model"):
        Sequential([Input((3,)), dense, dense])
    with pytest.raises(ConfigError, match="Input goes in front"):
        Sequential([Dense(3), Input((3,))])
    with pytest.raises(GraphError, match="Two layers of this model are named 'same'"):
        Sequential([Input((3,)), Dense(3, name="same"), Dense(3, name="same")])
    with pytest.raises(StateError, match="has no layers"):
        Sequential().pop()


def test_it_nests():
    inner = Sequential([Dense(4, "relu"), Dense(3)], name="inner")
    model = Sequential([Input((3,)), inner, Dense(1)])
    assert model(ONES).shape == (2, 1)
    assert len(model.weights) == 6


def test_it_is_rebuilt_from_its_config():
    model = Sequential([Input((3,)), Dense(4, name="a"), Dense(2)], name="stack")
    again = Sequential.from_config(model.get_config())
    assert again.graph == model.graph
    assert again.name == "stack"
    deferred = Sequential.from_config(Sequential([Dense(4)]).get_config())
    assert deferred.graph is None
    assert deferred(ONES).shape == (2, 4)
