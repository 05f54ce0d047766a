"""Where kgraph and Keras differ, files carry numbers over all the same, or are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import optax
import pytest
from keras_models import relaxed

import kgraph
from kgraph.errors import ConfigError


def test_dropout_of_a_keras_file_drops_in_training(tmp_path: Path):
    """Keras notes the default `training=False` in each call, and does not read it."""
    path, data = tmp_path / "m.keras", np.ones((2, 64), "float32")
    with relaxed():
        x = keras.Input((64,))
        keras.Model(x, keras.layers.Dropout(0.5)(keras.layers.ReLU()(x))).save(path)
    ours = kgraph.models.load_model(path)
    dropped = float((np.asarray(ours(data, training=True)) == 0).mean())
    assert 0.2 < dropped < 0.8
    np.testing.assert_array_equal(ours.predict(data, verbose=0), data)


def test_layers_that_train_by_default_rest_in_predict(tmp_path: Path):
    path, images = tmp_path / "m.keras", np.random.default_rng(0).random((2, 4, 4, 3), "float32")
    with relaxed():
        x = keras.Input((4, 4, 3))
        theirs = keras.Model(x, keras.layers.RandomFlip()(keras.layers.RandomShear(0.3)(x)))
        theirs.save(path)
    ours = kgraph.models.load_model(path)
    np.testing.assert_array_equal(ours.predict(images, verbose=0), images)
    assert ours.layers[1].x_factor == (-0.3, 0.3)  # Keras' own class refuses what it wrote
    ours.save(tmp_path / "n.keras")
    with relaxed():
        again = keras.saving.load_model(tmp_path / "n.keras")
    assert tuple(again.layers[1].x_factor) == (-0.3, 0.3)


def test_a_training_flag_in_a_call_is_refused(tmp_path: Path):
    x = kgraph.Input((4,))
    y = kgraph.layers.Dropout(0.5, name="always")(x, training=True)
    with pytest.raises(ConfigError, match=r"always[\s\S]*training=True in a call"):
        kgraph.Model(x, y).save(tmp_path / "m.keras")


def test_a_base_called_with_training_false_is_written_with_a_warning(tmp_path: Path):
    def made(K: Any) -> Any:
        inputs = K.Input((4,))
        y = K.layers.BatchNormalization()(K.layers.Dense(3)(inputs))
        base = K.Model(inputs, y, name="base")
        base.trainable = False
        x = K.Input((4,))
        return K.Model(x, K.layers.Dense(1)(base(x, training=False)))

    path, data = tmp_path / "m.keras", np.ones((2, 4), "float32")
    ours = made(kgraph)
    with pytest.warns(UserWarning, match=r"training=False of 'base' .*which Keras drops.*\.kgraph"):
        ours.save(path)
    with relaxed():
        theirs = keras.models.load_model(path)
        np.testing.assert_allclose(theirs(data), ours(data), rtol=1e-5)
        made(keras).save(path)
        again = keras.models.load_model(path)
        expected = np.asarray(again(data))
    np.testing.assert_allclose(kgraph.models.load_model(path)(data), expected, rtol=1e-5)


def test_a_kernel_that_is_divided_in_inference_is_written_divided(tmp_path: Path):
    """Keras does not divide in inference: it predicts the same with the divided kernel."""
    data = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")

    def made(K: Any) -> Any:
        x = K.Input((5,))
        normal = K.layers.SpectralNormalization(K.layers.Dense(4), power_iterations=2)
        return K.Model(x, K.layers.Dense(2)(normal(x)))

    ours = made(kgraph)
    ours.compile("sgd", "mse")
    ours.fit(data, np.ones((3, 2), "float32"), epochs=2, verbose=0)
    expected = np.asarray(ours(data))
    ours.save(tmp_path / "m.keras")
    ours.save_weights(tmp_path / "m.weights.h5")
    with relaxed():
        theirs, twin = keras.saving.load_model(tmp_path / "m.keras"), made(keras)
        twin.load_weights(tmp_path / "m.weights.h5")
        for model in (theirs, twin):
            np.testing.assert_allclose(np.asarray(model(data)), expected, atol=1e-6)
    again = kgraph.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(again(data), expected, atol=1e-6)
    assert again.layers[1].divide_in_inference is False
    kernel = np.asarray(ours.layers[1].layer.kernel)
    assert not np.allclose(kernel, np.asarray(again.layers[1].layer.kernel))


def test_all_that_keras_has_not_is_in_one_message(tmp_path: Path):
    """As a user has it: one of each kind, compiled with things of optax."""
    L = kgraph.layers
    x = kgraph.Input(("time", 4), name="series")
    y = kgraph.ops.standardize(L.Dense(3, name="first")(x))
    y = L.Dense(2, activation=lambda z: z, name="second")(y)
    y = L.Dense(2, kernel_initializer=lambda key, shape, dtype: None, name="third")(y)
    y = L.Dropout(0.5, name="always")(y, training=True)
    model = kgraph.Model(x, y)
    model.compile(optax.chain(optax.clip(1.0), optax.sgd(0.1)), lambda true, found: 0.0)
    path = tmp_path / "m.keras"
    with pytest.raises(ConfigError) as caught:
        model.save(path)
    text = str(caught.value)
    for part in (
        "'time'",
        "standardize",
        "second",
        "third",
        "always",
        "optimizer",
        "loss: ",
    ):
        assert part in text, part
    assert list(tmp_path.iterdir()) == []
