"""Copies: config, JSON and clones keep the graph; weights are fresh."""

from __future__ import annotations

import copy
import json
import pickle

import jax.numpy as jnp
import numpy as np
import pytest

import kgraph
from kgraph import Input, Layer, Model, Sequential
from kgraph.errors import ConfigError, GraphError
from kgraph.layers import (
    LSTM,
    Activation,
    Add,
    Concatenate,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Lambda,
)
from kgraph.models import clone_model, model_from_json
from kgraph.saving import register_keras_serializable


def tickets() -> Model:
    title = Input((None,), name="title")
    body = Input((None,), name="body")
    tags = Input((4,), name="tags")
    x = Concatenate()(
        [LSTM(3)(Embedding(9, 5)(title)), LSTM(3)(Embedding(9, 5, mask_zero=True)(body)), tags]
    )
    return Model(
        [title, body, tags], [Dense(1, name="priority")(x), Dense(4, name="department")(x)]
    )


def shared() -> Model:
    x = Input((3,))
    layer = Dense(3)
    a = Input((3,))
    inner = Model(a, Dropout(0.5)(layer(a)), name="inner")
    return Model(x, Add()([layer(inner(x)), inner(layer(x))]))


def operators() -> Model:
    x = Input(("time", 4), name="x")
    y = x[:, 1:, ::2] * np.array([1.5, 2.0], np.float32)[None, None]
    return Model({"x": x}, {"y": y, "z": [kgraph.ops.mean(y, axis=-1) * np.float32(2)]})


def unknown_sizes() -> Model:
    x, y = Input((None, 3)), Input((None, 3))
    h = Conv1D(3, 2)(x)
    return Model([x, h, y], [h * 2.0, x * 2.0, Activation("relu")(y)])


def sizes_shared_by_a_cut() -> Model:
    x = Input((None, 3))
    a, b = x * 2.0, x * 3.0
    return Model([a, b], a + b)


def awkward_keys() -> Model:
    x, y = Input((3,)), Input((3,))
    return Model({"tensor": {"tensor": x}, "slot": [y]}, {"tensor": [x * 2.0, y], "slot": y})


def stack() -> Model:
    return Sequential([Input((3,)), Sequential([Dense(4), Dense(3)]), Dense(2)])


MODELS = [tickets, shared, operators, unknown_sizes, sizes_shared_by_a_cut, awkward_keys, stack]


@pytest.mark.parametrize("make", MODELS)
def test_json_keeps_the_graph(make):
    model = make()
    again = model_from_json(model.to_json())
    assert again.graph.content_hash == model.graph.content_hash
    assert again.get_config() == model.get_config()
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]
    assert not any(one is two for one, two in zip(again.weights, model.weights))


@pytest.mark.parametrize("make", MODELS)
def test_config_is_plain_data(make):
    config = make().get_config()
    assert json.loads(json.dumps(config)) == config


@pytest.mark.parametrize("make", MODELS)
def test_a_clone_has_the_graph_and_fresh_weights(make):
    model = make()
    clone = clone_model(model)
    assert clone.graph == model.graph
    assert type(clone) is type(model)
    assert not set(map(id, clone.weights)) & set(map(id, model.weights))
    model.get_weights()
    assert not any(weight.has_value for weight in clone.weights)


def test_a_clone_computes_the_same_with_the_same_weights():
    model = shared()
    clone = clone_model(model)
    clone.set_weights(model.get_weights())
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(clone(x), model(x))


def test_two_loaded_models_keep_their_unknown_sizes_apart():
    one, two = clone_model(sizes_shared_by_a_cut()), clone_model(sizes_shared_by_a_cut())
    lengths = [[x.symbolic_shape[1] for x in model.inputs] for model in (one, two)]
    assert [len(set(own)) for own in lengths] == [1, 1]
    assert lengths[0] != lengths[1]


def test_clone_function_chooses_the_layers():
    def wider(layer):
        if isinstance(layer, Dense):
            return Dense(layer.units, activation="tanh")
        return type(layer).from_config(layer.get_config())

    for model in (tickets(), Sequential([Input((3,)), Dense(3)])):
        clone = clone_model(model, clone_function=wider)
        dense = [layer for layer in clone.layers if isinstance(layer, Dense)]
        assert dense
        assert all(layer.activation is kgraph.activations.tanh for layer in dense)
        assert [layer.name for layer in clone.layers] == [layer.name for layer in model.layers]


def test_clone_function_may_keep_a_layer():
    model = shared()
    clone = clone_model(model, clone_function=lambda layer: layer)
    assert list(map(id, clone.weights)) == list(map(id, model.weights))


def test_clone_function_must_return_layers():
    with pytest.raises(ConfigError, match="clone_function returned no layer"):
        clone_model(shared(), clone_function=lambda layer: None)


def test_a_clone_on_other_inputs():
    model = Model(x := Input((3,)), Dense(2)(x))
    y = Input((3,), name="y")
    clone = clone_model(model, input_tensors=y)
    assert clone.input_names == ["y"]
    assert clone(np.ones((2, 3))).shape == (2, 2)


class Scale(Layer):
    """A layer of the user's without get_config."""

    def __init__(self, factor, power=1, **options):
        super().__init__(**options)
        self.factor, self.power = factor, power

    def build(self, input_shape):
        self.offset = self.add_weight((input_shape[-1],), "zeros")

    def call(self, inputs):
        return (inputs + self.offset[None]) ** self.power * self.factor


def with_scale() -> Model:
    x = Input((3,))
    return Model(x, Scale(2.0, power=2, name="scale")(x))


def test_a_custom_layer_needs_no_get_config():
    model = with_scale()
    again = model_from_json(model.to_json(), custom_objects={"Scale": Scale})
    assert again.graph == model.graph
    assert (again.get_layer("scale").factor, again.get_layer("scale").power) == (2.0, 2)


def test_a_clone_needs_no_custom_objects():
    assert clone_model(with_scale()).graph == with_scale().graph


def test_an_unknown_class_is_named():
    with pytest.raises(ConfigError, match=r"No layer is known as 'Scale'[\s\S]*custom_objects"):
        model_from_json(with_scale().to_json())


def test_a_registered_function_is_found_and_a_lambda_refused():
    @register_keras_serializable("test_copies")
    def doubled(x):
        return 2 * jnp.abs(x)

    x = Input((3,))
    model = Model(x, Activation(doubled)(x))
    again = model_from_json(model.to_json())
    np.testing.assert_array_equal(again(-np.ones((1, 3))), [[2.0, 2.0, 2.0]])
    with pytest.raises(ConfigError, match="lambda"):
        Model(x, Lambda(lambda a: a * 2)(x)).to_json()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda c: c["nodes"][0]["inputs"].__setitem__(0, ["gone", 0]), r"reads gone\[0\]"),
        (lambda c: c.update(format=99), "layout that this version does not read"),
        (lambda c: c["aliases"].update({"gone/x": "dense"}), "shares a layer 'gone/x'"),
        (lambda c: c["nodes"][0].update(layer="gone"), "gone"),
    ],
)
def test_a_damaged_config_is_refused(change, text):
    x = Input((3,))
    config = json.loads(json.dumps(Model(x, Dense(3)(x)).get_config()))
    change(config)
    with pytest.raises((GraphError, ConfigError), match=text):
        Model.from_config(config)


class Unregistered(Layer):
    """A layer of the user's that no file may name."""

    def call(self, x):
        return x * 2.0


def trained(layers: int = 1, extra: Layer | None = None) -> Model:
    inputs = x = Input((4,))
    for _ in range(layers):
        x = Dense(4, "tanh")(x)
    if extra is not None:
        x = extra(x)
    model = Model(inputs, Dense(2)(Dropout(0.5)(x)))
    model.compile("adam", "mse")
    model.fit(ROWS, TARGETS, verbose=0, seed=1)
    return model


ROWS = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
TARGETS = ROWS[:, :2].copy()


def same_weights(one: Model, other: Model) -> bool:
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["copy", "pickle"],
)
def test_a_copy_of_a_trained_model_goes_on_as_the_model_does(copied):
    model = trained()
    twin = copied(model)
    assert same_weights(model, twin)
    twin.fit(ROWS, TARGETS, verbose=0)
    assert not same_weights(model, twin), "they share nothing"
    model.fit(ROWS, TARGETS, verbose=0)
    assert same_weights(model, twin), "optimizer state, order of rows and dropout are the same"


def test_a_copy_needs_no_registered_classes_and_takes_the_values_of_a_fresh_model():
    model = trained(extra=Unregistered())
    assert same_weights(model, copy.deepcopy(model))
    assert same_weights(model, pickle.loads(pickle.dumps(model)))
    fresh = tickets()
    twin = copy.deepcopy(fresh)
    assert same_weights(fresh, twin)
    assert twin.layers[0] is not fresh.layers[0]


def test_deep_models_are_copied_and_so_are_models_in_the_middle_of_a_fit():
    inputs = x = Input((2,))
    for _ in range(600):
        x = Activation("relu")(x)
    assert len(copy.deepcopy(Model(inputs, x)).layers) == 601

    class Keeper(kgraph.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.kept = copy.deepcopy(self.model)

    model, keeper = trained(), Keeper()
    model.fit(ROWS, TARGETS, verbose=0, callbacks=[keeper])
    assert same_weights(model, keeper.kept)
    keeper.kept.fit(ROWS, TARGETS, verbose=0)
    assert not same_weights(model, keeper.kept)
