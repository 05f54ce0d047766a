"""Rows 38 to 46 of the guide: the toy ResNet."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from guide_code import table, total, toy_resnet

import kgraph as keras
from kgraph.data import make_source

ROWS = [
    ("img (InputLayer)", "(None, 32, 32, 3)", "0", ""),
    ("conv2d (Conv2D)", "(None, 30, 30, 32)", "896", "img[0][0]"),
    ("conv2d_1 (Conv2D)", "(None, 28, 28, 64)", "18,496", "conv2d[0][0]"),
    ("max_pooling2d (MaxPooling2D)", "(None, 9, 9, 64)", "0", "conv2d_1[0][0]"),
    ("conv2d_2 (Conv2D)", "(None, 9, 9, 64)", "36,928", "max_pooling2d[0][0]"),
    ("conv2d_3 (Conv2D)", "(None, 9, 9, 64)", "36,928", "conv2d_2[0][0]"),
    ("add (Add)", "(None, 9, 9, 64)", "0", "conv2d_3[0][0]\nmax_pooling2d[0][0]"),
    ("conv2d_4 (Conv2D)", "(None, 9, 9, 64)", "36,928", "add[0][0]"),
    ("conv2d_5 (Conv2D)", "(None, 9, 9, 64)", "36,928", "conv2d_4[0][0]"),
    ("add_1 (Add)", "(None, 9, 9, 64)", "0", "conv2d_5[0][0]\nadd[0][0]"),
    ("conv2d_6 (Conv2D)", "(None, 7, 7, 64)", "36,928", "add_1[0][0]"),
    (
        "global_average_pooling2d (GlobalAveragePooling2D)",
        "(None, 64)",
        "0",
        "conv2d_6[0][0]",
    ),
    ("dense (Dense)", "(None, 256)", "16,640", "global_average_pooling2d[0][0]"),
    ("dropout (Dropout)", "(None, 256)", "0", "dense[0][0]"),
    ("dense_1 (Dense)", "(None, 10)", "2,570", "dropout[0][0]"),
]


def cifar(rows):
    """Returns random arrays of the shapes and dtypes of CIFAR-10."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (rows, 32, 32, 3), dtype="uint8")
    return images, random.integers(0, 10, (rows, 1), dtype="uint8")


def test_rows_38_to_41_the_summary():
    """Names (38), shapes and sizes (39), connections (40), order (41)."""
    assert table(toy_resnet()) == ROWS


def test_row_39_the_total():
    assert total(toy_resnet()) == "223,242 (872.04 KB)"


def test_row_42_same_padding_keeps_the_size():
    model = toy_resnet()
    convolution = model.get_layer("conv2d_2")
    assert convolution.input.shape == convolution.output.shape == (None, 9, 9, 64)


def test_row_43_dropout_is_active_in_training_only():
    inputs = keras.Input((1000,))
    model = keras.Model(inputs, keras.layers.Dropout(0.5)(inputs))
    ones = np.ones((1, 1000), "float32")
    np.testing.assert_array_equal(model(ones), ones)
    np.testing.assert_array_equal(model.predict(ones, verbose=0), ones)
    dropped = np.asarray(model(ones, training=True))
    assert set(np.unique(dropped)) == {0.0, 2.0}  # what stays is doubled: the mean stays
    assert 400 < np.count_nonzero(dropped) < 600  # 5 standard deviations are 79


def test_row_44_labels_become_rows():
    _, labels = cifar(20)
    rows = keras.utils.to_categorical(labels, 10)
    assert (rows.shape, rows.dtype) == ((20, 10), "float32")
    np.testing.assert_array_equal(rows.argmax(-1), labels[:, 0])
    assert callable(keras.datasets.cifar10.load_data)  # itself tested in tests/datasets


def test_rows_45_and_46_the_users_name_of_a_metric_and_one_epoch(capsys):
    """By a model that trains fast; the guide's own is the slow test below."""
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(inputs)))
    history = _fit(model, rows=1000)
    lines = capsys.readouterr().out.splitlines()
    assert list(history.history) == ["acc", "loss", "val_acc", "val_loss"]
    assert len(lines) == 1
    assert lines[0].startswith("13/13 ")
    assert " - acc: " in lines[0]
    assert " - val_acc: " in lines[0]


def test_row_46_800_rows_are_13_steps_of_which_the_last_has_32():
    source = make_source(np.zeros((800, 1)), batch_size=64)
    assert source.steps == 13
    assert [len(x) for x, _, _ in source.epoch(0)] == [64] * 12 + [32]


@pytest.mark.slow
def test_row_46_the_guides_training(capsys):
    history = _fit(toy_resnet(), rows=1000)
    assert capsys.readouterr().out.startswith("13/13 ")
    # Chance is log 10; the guide's own first epoch ends at 2.3364.
    assert 2.2 < history.history["loss"][0] < 2.5


def test_the_model_lowers_to_one_function():
    program = keras.lower(toy_resnet())
    variables = jax.eval_shape(program.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((4, 32, 32, 3), "float32")
    outputs, _ = jax.eval_shape(program.apply, variables, images)
    assert outputs.shape == (4, 10)


def _fit(model, rows):
    x_train, y_train = cifar(rows)
    x_train = x_train.astype("float32") / 255.0
    y_train = keras.utils.to_categorical(y_train, 10)
    model.compile(
        optimizer=keras.optimizers.RMSprop(1e-3),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["acc"],
    )
    return model.fit(x_train, y_train, batch_size=64, epochs=1, validation_split=0.2)
