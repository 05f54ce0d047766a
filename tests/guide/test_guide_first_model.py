"""Rows 1 to 8 of the guide: the first model, its summary and its drawing."""

from __future__ import annotations

import re

import pytest
from guide_code import mnist_model, printed, table, total

import kgraph as keras
from kgraph import layers


def test_row_1_an_input_is_symbolic_and_its_batch_is_implicit():
    inputs = keras.Input(shape=(784,))
    assert isinstance(inputs, keras.SymbolicTensor)
    assert inputs.shape == (None, 784)
    assert inputs.dtype == "float32"


def test_row_2_an_input_that_is_not_used_leaves_no_trace():
    img_inputs = keras.Input(shape=(32, 32, 3))
    assert img_inputs.shape == (None, 32, 32, 3)
    assert mnist_model().layers[0].name == "input_layer"


def test_row_3_calling_a_layer_adds_a_node_and_builds_the_layer():
    dense = layers.Dense(64, activation="relu")
    assert not dense.built
    x = dense(keras.Input(shape=(784,)))
    assert isinstance(x, keras.SymbolicTensor)
    assert x.shape == (None, 64)
    assert dense.built
    assert [w.shape for w in dense.weights] == [(784, 64), (64,)]


@pytest.mark.parametrize("by", ["keyword", "position"])
def test_row_4_a_model_takes_tensors_by_keyword_or_position(by):
    inputs = keras.Input(shape=(784,))
    outputs = layers.Dense(10)(inputs)
    if by == "keyword":
        model = keras.Model(inputs=inputs, outputs=outputs, name="mnist_model")
    else:
        model = keras.Model(inputs, outputs, name="mnist_model")
    assert (model.name, model.input_shape, model.output_shape) == (
        "mnist_model", (None, 784), (None, 10),
    )  # fmt: skip
    assert model.input is inputs
    assert model.output is outputs


def test_row_4_a_model_takes_structures_of_tensors():
    a, b = keras.Input((3,), name="a"), keras.Input((4,), name="b")
    model = keras.Model({"a": a, "b": b}, {"sum": layers.add([layers.Dense(4)(a), b])})
    assert model.input_names == ["a", "b"]
    assert model.output_shape == {"sum": (None, 4)}


def test_rows_5_and_6_the_summary_of_a_chain():
    model = mnist_model()
    assert printed(model).splitlines()[0] == 'Model: "mnist_model"'
    assert table(model) == [
        ("input_layer (InputLayer)", "(None, 784)", "0"),
        ("dense (Dense)", "(None, 64)", "50,240"),
        ("dense_1 (Dense)", "(None, 64)", "4,160"),
        ("dense_2 (Dense)", "(None, 10)", "650"),
    ]
    assert "Connected to" not in printed(model)


def test_row_7_totals_have_sizes():
    lines = printed(mnist_model()).splitlines()
    assert lines[-4:-1] == [
        "Total params: 55,050 (215.04 KB)",
        "Trainable params: 55,050 (215.04 KB)",
        "Non-trainable params: 0 (0.00 B)",
    ]


def test_row_7_training_adds_the_optimizer_to_the_totals():
    model = mnist_model()
    model.compile(keras.optimizers.RMSprop(), "mse")
    x = keras.ops.zeros((2, 784))
    model.fit(x, keras.ops.zeros((2, 10)), verbose=0)
    assert total(model) == "110,102 (430.09 KB)"
    assert "\nTrainable params: 55,050 (215.04 KB)\n" in printed(model)
    assert "\nOptimizer params: 55,052 (215.05 KB)\n" in printed(model)


def test_row_8_a_model_is_drawn_into_a_file(tmp_path):
    path = tmp_path / "my_first_model.svg"
    drawing = keras.utils.plot_model(mnist_model(), path)
    assert drawing.path == path
    assert "Dense" in path.read_text()
    shown = re.sub("<title>.*?</title>", "", path.read_text(), flags=re.DOTALL)  # under the pointer
    assert "784" not in shown


def test_row_8_shapes_are_drawn_if_asked_for(tmp_path):
    path = tmp_path / "my_first_model_with_shape_info.svg"
    keras.utils.plot_model(mnist_model(), path, show_shapes=True)
    text = path.read_text()
    for shape in ("(None, 784)", "(None, 64)", "(None, 10)"):
        assert shape in text


def test_row_8_the_guides_file_is_an_image(tmp_path):
    drawing = keras.utils.plot_model(mnist_model(), tmp_path / "my_first_model.png")
    assert drawing.path.read_bytes().startswith(b"\x89PNG")
