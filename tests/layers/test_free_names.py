"""The user's class is the user's: any name that Keras' class lacks may be used in a subclass."""

import copy
import pickle

import jax
import keras
import numpy as np
import pytest
from free_names import Scaled, names_not_of, subclass

import kgraph
from kgraph import Layer
from kgraph.layers import Dense
from kgraph.saving import load_model

X = np.ones((4, 3), "float32")
Y = np.ones((4, 2), "float32")
KEY = jax.random.key(0)
EXTRAS = {"next_key"}
"""What a layer offers beyond Keras: documented, and lost alone where it is shadowed."""


@pytest.mark.parametrize("way", ["layer", "number", "layers", "property", "method"])
@pytest.mark.filterwarnings("ignore:.*what nobody registered")
def test_any_name_may_be_used_in_a_layer(way: str, tmp_path):
    names = names_not_of(keras.layers.Layer(), Layer())
    assert {"children", "spec", "label", "kind", "next_key"} <= set(names)
    cls = subclass(Scaled, names, way)
    inputs = kgraph.Input((3,))
    model = kgraph.Model(inputs, cls()(inputs))
    model.compile("sgd", "mse")
    before = model.layers[1].kernel.numpy()
    model.fit(X, Y, verbose=0)
    layer = model.layers[1]
    assert not np.array_equal(layer.kernel.numpy(), before)
    assert layer.count.numpy() == 1
    assert len(layer.weights) == 2  # the layers in attributes were never called
    expected = model.predict(X, verbose=0)

    model.save(tmp_path / "model.kgraph")
    loaded = load_model(tmp_path / "model.kgraph", custom_objects={cls.__name__: cls})
    twin = copy.deepcopy(model)
    for other in (loaded, twin):
        assert np.array_equal(other.predict(X, verbose=0), expected)
        assert type(other.layers[1]) is cls
    alone = copy.deepcopy(layer)
    assert np.array_equal(alone(X), layer(X))
    assert kgraph.models.clone_model(model).count_params() == model.count_params()


def test_the_layer_holds_the_users_attributes_and_one_record():
    layer = Scaled(2)
    layer(X)
    users = {"units", "kernel", "count"}
    keras_names = {"built", "autocast", "activity_regularizer"}
    assert set(vars(layer)) == users | keras_names | {"_kgraph"}
    assert keras_names <= set(vars(keras.layers.Layer()))


def test_layers_offer_keras_names_and_the_documented_extras():
    public = {name for name in dir(Layer()) if not name.startswith("_")}
    assert public - set(dir(keras.layers.Layer())) == EXTRAS
    private = {name for name in dir(Layer()) if name[0] == "_" and name[:2] != "__"}
    own = private - set(dir(keras.layers.Layer()))
    assert all(name.startswith("_kgraph") for name in own)


def test_a_called_layer_is_pickled_and_copied_with_its_values():
    inputs = kgraph.Input((3,))
    layer = Scaled(2)
    layer(inputs)
    layer(X)
    for other in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        assert np.array_equal(other(X), layer(X))
        other.kernel.assign(2 * layer.kernel.numpy())
        assert not np.array_equal(other(X), layer(X))


def test_a_copied_model_has_symbols_of_its_own():
    inputs = kgraph.Input((3,))
    model = kgraph.Model(inputs, Scaled(2)(inputs))
    twin = copy.deepcopy(model)
    assert twin.layers[1].output.call.layer is twin.layers[1]
    assert twin.layers[1].output is not model.layers[1].output


def test_a_seed_that_is_no_number_is_the_users():
    class Noisy(Layer):
        def __init__(self, seed, **options):
            super().__init__(**options)
            self.seed = seed

        def call(self, inputs):
            return inputs + jax.random.normal(self.next_key(), inputs.shape)

    drawn = [
        kgraph.lower(kgraph.Sequential([kgraph.Input((3,)), Noisy(seed, name="noisy")]))
        for seed in (None, [Dense(2)], 3)
    ]
    outputs = [p.apply(p.init(KEY), X, key=KEY, training=True)[0] for p in drawn]
    assert np.array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])
