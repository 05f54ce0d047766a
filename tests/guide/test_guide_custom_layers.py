"""Rows 53 to 59 of the guide: layers of the user's own, and how they are written down."""

from __future__ import annotations

import json

import numpy as np
import pytest
from guide_code import CustomDense, PlainDense, table

import kgraph as keras
from kgraph import layers


def model_of(layer_class, units=10) -> keras.Model:
    inputs = keras.Input((4,))
    outputs = layer_class(units)(inputs)
    return keras.Model(inputs, outputs)


def test_row_53_a_layer_with_build_and_call():
    model = model_of(CustomDense)
    assert table(model)[1] == ("custom_dense (CustomDense)", "(None, 10)", "50")
    assert [w.name for w in model.weights] == ["w", "b"]


def test_row_53_weights_may_be_made_in_init():
    class Scale(layers.Layer):
        def __init__(self):
            super().__init__()
            self.factor = self.add_weight(shape=(), initializer="ones", trainable=True)

        def call(self, inputs):
            return inputs * self.factor

    inputs = keras.Input((4,))
    model = keras.Model(inputs, Scale()(inputs))
    x = np.arange(4, dtype="float32")[None]
    np.testing.assert_array_equal(model(x), x)
    model.layers[1].factor.assign(3.0)
    np.testing.assert_array_equal(model(x), 3 * x)


def test_row_54_init_needs_no_keywords_and_no_name():
    layer = PlainDense()
    assert (layer.units, layer.name) == (32, "plain_dense")
    with pytest.raises(TypeError, match="name"):
        PlainDense(10, name="mine")  # its own __init__ decides, as in any class


def test_row_55_weights_are_arrays_in_call():
    model = model_of(CustomDense)
    x = np.random.default_rng(0).random((3, 4), "float32")
    layer = model.layers[1]
    by_hand = x @ layer.w.numpy() + layer.b.numpy()
    np.testing.assert_allclose(model(x), by_hand, rtol=1e-5, atol=1e-7)
    assert layer.w.numpy().std() > 0  # "random_normal" for the bias as well
    assert layer.b.numpy().std() > 0


def test_rows_56_and_57_a_model_from_its_config():
    """`get_config` of the layer gives its options alone; the model keeps the layer's name."""
    model = model_of(CustomDense)
    config = model.get_config()
    new_model = keras.Model.from_config(config, custom_objects={"CustomDense": CustomDense})
    assert table(new_model) == table(model)
    assert new_model.layers[1].units == 10
    assert new_model.layers[1] is not model.layers[1]
    kernels = [m.layers[1].w.numpy() for m in (model, new_model)]
    assert not np.array_equal(*kernels)  # fresh weights
    assert json.loads(json.dumps(config)) == config  # nothing but plain data


def test_row_57_a_class_that_is_not_passed_is_refused():
    config = model_of(CustomDense).get_config()
    with pytest.raises(keras.errors.KGraphError, match=r"CustomDense[\s\S]*custom_objects"):
        keras.Model.from_config(config)


def test_row_58_from_config_can_be_overridden():
    class Doubled(CustomDense):
        @classmethod
        def from_config(cls, config):
            return cls(2 * config["units"])

    assert CustomDense.from_config({"units": 7}).units == 7
    config = model_of(Doubled).get_config()
    new_model = keras.Model.from_config(config, custom_objects={"Doubled": Doubled})
    assert new_model.output_shape == (None, 20)


@pytest.mark.parametrize("layer_class", [PlainDense, CustomDense])
@pytest.mark.filterwarnings("ignore:.*what nobody registered")
def test_row_59_own_layers_are_saved_with_or_without_get_config(layer_class, tmp_path):
    model = model_of(layer_class)
    model.save(tmp_path / "model.kgraph")
    custom_objects = {layer_class.__name__: layer_class}
    loaded = keras.models.load_model(tmp_path / "model.kgraph", custom_objects=custom_objects)
    x = np.random.default_rng(0).random((3, 4), "float32")
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.layers[1].units == 10
