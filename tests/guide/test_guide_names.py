"""The rules behind the printed names and tables (section 1.9 of the notes on Keras)."""

from __future__ import annotations

import numpy as np
import pytest
from guide_code import mnist_model, printed, sizes, table, toy_resnet

import kgraph as keras
from kgraph import layers


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("Conv2DTranspose", "conv2d_transpose"),
        ("MaxPooling2D", "max_pooling2d"),
        ("LSTM", "lstm"),
        ("GRU", "gru"),
        ("InputLayer", "input_layer"),
        ("CustomRNN", "custom_rnn"),
        ("TFSMLayer", "tfsm_layer"),
        ("MLP", "mlp"),
    ],
)
def test_names_are_the_class_in_snake_case(class_name, name):
    assert type(class_name, (layers.Layer,), {})().name == name


def test_the_same_code_gives_the_same_names_however_often_it_runs():
    assert [sizes(toy_resnet()) for _ in range(2)] == [sizes(toy_resnet())] * 2


def test_an_explicit_name_takes_no_number():
    inputs = keras.Input((4,))
    x = layers.Dense(4, name="dense")(inputs)
    x = layers.Dense(4)(x)
    model = keras.Model(inputs, layers.Dense(4)(x))
    assert [layer.name for layer in model.layers[1:]] == ["dense", "dense_1", "dense_2"]


def test_two_layers_of_one_name_are_refused():
    inputs = keras.Input((4,))
    x = layers.Dense(4, name="twin")(inputs)
    with pytest.raises(keras.errors.GraphError, match=r"named 'twin'[\s\S]*test_guide_names.py"):
        keras.Model(inputs, layers.Dense(4, name="twin")(x))


def test_a_name_has_no_slash():
    with pytest.raises(keras.errors.ConfigError, match="without '/'"):
        layers.Dense(4, name="block/dense")


def test_functions_and_layers_share_the_names():
    a, b = keras.Input((4,)), keras.Input((4,))
    model = keras.Model([a, b], keras.ops.add(layers.add([a, b]), a))
    assert [layer.name for layer in model.operations[2:]] == ["add", "add_1"]


def test_an_unnamed_input_is_fed_by_the_name_it_shows():
    """In Keras the tensor is called otherwise than its layer, and feeding by the layer fails."""
    model = mnist_model()
    assert model({"input_layer": np.zeros((1, 784), "float32")}).shape == (1, 10)


@pytest.mark.parametrize("kind", ["two inputs", "a fork", "a shared layer"])
def test_connections_are_shown_where_the_graph_is_no_chain(kind):
    inputs = keras.Input((4,))
    if kind == "two inputs":
        model = keras.Model([inputs, other := keras.Input((4,))], layers.add([inputs, other]))
    elif kind == "a fork":
        model = keras.Model(inputs, [layers.Dense(4)(inputs), layers.Dense(4)(inputs)])
    else:
        shared = layers.Dense(4)
        model = keras.Model(inputs, shared(shared(inputs)))
    assert "Connected to" in printed(model)
    assert len(table(model)[-1]) == 4


def test_functions_are_rows_without_parameters():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.ops.tanh(inputs) * 2)
    assert [(name, count) for name, count in sizes(model)] == [
        ("input_layer", "0"),
        ("tanh", "0"),
        ("multiply", "0"),
    ]


def test_nested_models_are_listed_if_asked_for():
    inner = mnist_model()
    inputs = keras.Input((784,))
    model = keras.Model(inputs, inner(inputs))
    texts: list[str] = []
    model.summary(expand_nested=True, print_fn=texts.append)
    assert "   └ dense_1 (Dense)" in texts[0]
    assert "dense_1" not in printed(model)


def test_a_range_of_layers_can_be_shown():
    texts: list[str] = []
    toy_resnet().summary(layer_range=["conv2d_2", "add_1"], print_fn=texts.append)
    assert "conv2d_5 (Conv2D)" in texts[0]
    assert "dense (Dense)" not in texts[0]
    assert "Total params: 223,242" in texts[0]


def test_a_graph_deeper_than_the_recursion_limit():
    """Keras walks recursively and fails near 1,000 layers in a row."""
    x = inputs = keras.Input((2,))
    for _ in range(1500):
        x = layers.Activation("relu")(x)
    model = keras.Model(inputs, x)
    assert len(model.layers) == 1501
    part = keras.Model(model.layers[700].output, x)
    assert len(part.layers) == 801


def test_a_model_is_cut_from_tensors_within_a_graph():
    model = mnist_model()
    tail = keras.Model(model.get_layer("dense").output, model.output)
    assert tail.input_shape == (None, 64)
    assert tail.get_layer("dense_2") is model.get_layer("dense_2")
    x = np.random.default_rng(0).random((3, 784), "float32")
    hidden = keras.Model(model.input, model.get_layer("dense").output)(x)
    np.testing.assert_allclose(tail(hidden), model(x), rtol=1e-5, atol=1e-6)


def test_a_last_axis_of_size_1_may_be_missing():
    inputs = keras.Input((3, 1))
    model = keras.Model(inputs, layers.Flatten()(inputs))
    assert model(np.zeros((2, 3), "float32")).shape == (2, 3)
