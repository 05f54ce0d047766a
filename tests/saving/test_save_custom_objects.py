"""Classes and functions of the user's own: registered, passed, missing, or impossible to write."""

from __future__ import annotations

import numpy as np
import pytest
from saved_models import ROWS, Scaled, assert_same_weights, custom

import kgraph as keras
from kgraph import initializers, layers, saving
from kgraph.errors import ConfigError, ModelFileError


@pytest.mark.filterwarnings("ignore:.*what nobody registered")
def test_a_class_that_is_not_registered_is_passed_by_name(tmp_path):
    model = custom()
    model.save(tmp_path / "m.kgraph")
    loaded = saving.load_model(tmp_path / "m.kgraph", custom_objects={"Scaled": Scaled})
    assert_same_weights(model, loaded)
    np.testing.assert_array_equal(np.asarray(model(ROWS)), np.asarray(loaded(ROWS)))
    with saving.custom_object_scope({"Scaled": Scaled}):
        assert saving.load_model(tmp_path / "m.kgraph").layers[1].factor == 3.0


@pytest.mark.filterwarnings("ignore:.*what nobody registered")
def test_a_class_that_nobody_passed_is_named(tmp_path):
    custom().save(tmp_path / "m.kgraph")
    with pytest.raises(ModelFileError, match=r"'Scaled'[\s\S]*custom_objects=") as caught:
        saving.load_model(tmp_path / "m.kgraph")
    assert len(str(caught.value)) <= 500


def test_a_registered_class_needs_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(saving.get_custom_objects(), "mine>Scaled", Scaled)
    model = custom()
    model.save(tmp_path / "m.kgraph")
    loaded = saving.load_model(tmp_path / "m.kgraph")
    assert type(loaded.layers[1]) is Scaled
    assert_same_weights(model, loaded)


class Steps(initializers.Initializer):
    def __call__(self, shape, dtype=None, **_):
        return np.arange(np.prod(shape)).reshape(shape).astype(dtype or "float32")


@pytest.mark.filterwarnings("ignore:.*what nobody registered")
def test_a_class_inside_an_option_is_found_too(tmp_path):
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(2, kernel_initializer=Steps())(x))
    model.save(tmp_path / "m.kgraph")
    loaded = saving.load_model(tmp_path / "m.kgraph", custom_objects={"Steps": Steps})
    assert_same_weights(model, loaded)


def _save(tmp_path, layer):
    x = keras.Input((4,))
    keras.Model(x, layer(x)).save(tmp_path / "m.kgraph")


def test_a_lambda_is_named_before_anything_is_written(tmp_path):
    layer = layers.Dense(2, activation=lambda x: x * 2, name="head")
    with pytest.raises(ConfigError, match=r"'activation' of 'head'[\s\S]*lambda[\s\S]*register_ke"):
        _save(tmp_path, layer)
    assert list(tmp_path.iterdir()) == []


def test_a_lambda_deep_inside_is_named_by_its_place(tmp_path):
    x = keras.Input((4,))
    inner = keras.Model(x, layers.Dense(2, activation=lambda x: x, name="bad")(x), name="inner")
    with pytest.raises(ConfigError, match=r"'activation' of 'inner/bad'"):
        _save(tmp_path, inner)


def test_a_registered_function_is_written_by_name(tmp_path, monkeypatch):
    def double(x):
        return x * 2

    monkeypatch.setitem(saving.get_custom_objects(), "mine>double", double)
    _save(tmp_path, layers.Dense(2, activation=double))
    assert saving.load_model(tmp_path / "m.kgraph").layers[1].activation is double


def test_a_loss_that_is_a_lambda_is_named(tmp_path):
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(2)(x))
    model.compile("sgd", lambda t, y: y - t)
    with pytest.raises(ConfigError, match=r"loss[\s\S]*cannot be written[\s\S]*register_keras"):
        model.save(tmp_path / "m.kgraph")
    model.save(tmp_path / "m.kgraph", include_optimizer=False)
    assert not saving.load_model(tmp_path / "m.kgraph").compiled


def test_an_own_class_may_not_pass_for_one_of_kgraphs(tmp_path):
    class Dense(layers.Layer):
        def call(self, inputs):
            return inputs

    with pytest.raises(ConfigError, match=r"'Dense' has the name of one of kgraph's own"):
        _save(tmp_path, Dense())


class Counting(layers.Layer):
    """Cannot be rebuilt: its weights depend on more than its arguments."""

    made = 0

    def build(self, input_shape):
        Counting.made += 1
        self.table = self.add_weight((Counting.made,), "zeros", name="table")

    def call(self, inputs):
        return inputs + self.table[0]


def test_a_layer_that_comes_back_different_is_found_when_saving(tmp_path):
    with pytest.raises(ConfigError, match=r"counting/table is \[1\] float32[\s\S]*\[2\] float32"):
        _save(tmp_path, Counting())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:.*what nobody registered")
def test_a_class_that_changed_after_the_save_is_a_warning_if_its_weights_fit(tmp_path):
    custom().save(tmp_path / "m.kgraph")

    class Renewed(Scaled):
        def __init__(self, factor=2.0, extra=1, **options):
            super().__init__(factor, **options)

    with pytest.warns(UserWarning, match="your Scaled has changed"):
        saving.load_model(tmp_path / "m.kgraph", custom_objects={"Scaled": Renewed})


def test_objects_go_through_their_config():
    config = saving.serialize_keras_object(layers.Dense(3, activation="relu"))
    layer = saving.deserialize_keras_object(config)
    assert isinstance(layer, layers.Dense)
    assert layer.units == 3
    scaled = saving.serialize_keras_object(Scaled(4.0))
    assert saving.deserialize_keras_object(scaled, {"Scaled": Scaled}).factor == 4.0
    with pytest.raises(ConfigError, match=r"cannot be written down[\s\S]*lambda"):
        saving.serialize_keras_object(layers.Dense(3, activation=lambda x: x))


class Acting(layers.Layer):
    def __init__(self, policy=None, **options):
        super().__init__(**options)
        self.policy = policy

    def call(self, inputs):
        return inputs


def test_options_that_look_like_values_of_keras_stay_what_they_are(tmp_path):
    policy = {"class_name": "GreedyPolicy", "config": {"a": 1}}
    model = keras.Sequential([keras.Input((3,)), Acting(policy)])
    with saving.custom_object_scope({"Acting": Acting}):
        model.save(tmp_path / "m.kgraph")
        assert saving.load_model(tmp_path / "m.kgraph").layers[-1].policy == policy


def test_bytes_that_are_no_text_are_refused_by_save_alone(tmp_path):
    model = keras.Sequential([keras.Input((3,)), Acting(b"\xff\x00")])
    with pytest.raises(ConfigError, match=r"'policy'.* cannot be written"):
        model.save(tmp_path / "m.kgraph")
