"""Keras' JSON and configs, which come from no file: models and single objects, also nested."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras_models import MODELS, relaxed

import kgraph
from kgraph.errors import ConfigError
from kgraph.saving import deserialize_keras_object, model_from_json, serialize_keras_object

QUICK = {"autoencoder", "shared", "states", "operators", "nested_sequential"}
MADE = [
    pytest.param(make, id=name, marks=() if name in QUICK else (pytest.mark.slow,))
    for name, make in MODELS.items()
]


def shapes(model: Any) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in model.weights]


@pytest.mark.filterwarnings("ignore:.*mask")
@pytest.mark.parametrize("make", MADE)
def test_a_model_comes_from_the_json_and_the_config_of_keras(make: Callable[[Any], Any]) -> None:
    with relaxed():
        theirs = make(keras)
        text, config = theirs.to_json(), theirs.get_config()
        cls = kgraph.Sequential if isinstance(theirs, keras.Sequential) else kgraph.Model
        for ours in (model_from_json(text), cls.from_config(config)):
            assert ours.name == theirs.name
            assert sorted(shapes(ours)) == sorted(shapes(theirs))
            # Keras has those of a dict by name, kgraph in their order.
            found, wanted = ([str(x.shape) for x in m.outputs] for m in (ours, theirs))
            assert sorted(found) == sorted(wanted)


def tiny(K: Any) -> Any:
    x = K.Input((3,))
    y = K.layers.Dense(2, "relu", kernel_regularizer=K.regularizers.L2(0.5), name="head")(x)
    model = K.Model(x, y * 2.0)
    model.compile(K.optimizers.SGD(0.5), K.losses.Huber(2.0), metrics=["mae"])
    return model


def test_json_of_a_compiled_model_says_how_it_is_trained() -> None:
    x, y = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")
    with relaxed():
        theirs = tiny(keras)
        ours = model_from_json(theirs.to_json())
        again = deserialize_keras_object(keras.saving.serialize_keras_object(theirs))
        ours.set_weights(theirs.get_weights())
        again.set_weights(theirs.get_weights())
        expected = theirs.train_on_batch(x, y, return_dict=True)
    assert ours.train_on_batch(x, y, return_dict=True) == pytest.approx(expected)
    assert again.train_on_batch(x, y, return_dict=True) == pytest.approx(expected)


OBJECTS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "layer": (
        lambda K: K.layers.Dense(3, "tanh", kernel_initializer=K.initializers.Constant(2.0)),
        lambda layer: (layer.units, layer.activation.__name__, layer.kernel_initializer.value),
    ),
    "wrapped": (
        lambda K: K.layers.Bidirectional(K.layers.LSTM(3)),
        lambda layer: layer.backward_layer.units,
    ),
    "cells": (
        lambda K: K.layers.RNN([K.layers.LSTMCell(3), K.layers.GRUCell(2)]),
        lambda layer: [cell.units for cell in layer.cell.cells],
    ),
    "loss": (lambda K: K.losses.Poisson("sum"), lambda loss: loss.reduction),
    "metric": (
        lambda K: K.metrics.SparseTopKCategoricalAccuracy(k=3, name="top"),
        lambda metric: (metric.get_config()["k"], metric.name),
    ),
    "schedule": (
        lambda K: K.optimizers.Adam(K.optimizers.schedules.CosineDecay(0.1, 7), beta_1=0.7),
        lambda rule: (rule._learning_rate.decay_steps, rule.beta_1)
        if isinstance(rule, keras.optimizers.Optimizer)
        else (rule.get_config()["learning_rate"]["config"]["decay_steps"], rule.beta_1),
    ),
    "initializer": (
        lambda K: K.initializers.VarianceScaling(2.0, seed=1),
        lambda start: (start.scale, start.seed),
    ),
    "regularizer": (
        lambda K: K.regularizers.OrthogonalRegularizer(0.5), lambda term: float(term.factor),
    ),
    "constraint": (
        lambda K: K.constraints.MinMaxNorm(0.1, 0.7), lambda c: (c.min_value, c.max_value),
    ),
    "functions": (
        lambda K: [K.losses.mean_squared_error, K.activations.relu, K.metrics.binary_accuracy],
        lambda functions: [function.__name__ for function in functions],
    ),
    "values": (
        lambda K: {"slice": slice(1, None, 2), "bytes": b"ab", "dots": ..., "n": [1, "x"]},
        lambda values: values,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "read"), OBJECTS.values(), ids=OBJECTS)
def test_an_object_comes_from_what_keras_wrote(
    make: Callable[[Any], Any], read: Callable[[Any], Any]
) -> None:
    with relaxed():
        theirs = make(keras)
        written = json.loads(json.dumps(keras.saving.serialize_keras_object(theirs)))
    ours = deserialize_keras_object(written)
    assert type(ours) is type(make(kgraph))
    assert read(ours) == read(theirs)
    again = deserialize_keras_object(serialize_keras_object(ours))
    assert read(again) == read(theirs)


def test_a_lambda_of_keras_is_refused() -> None:
    with relaxed():
        written = keras.saving.serialize_keras_object(lambda x: x)
    with pytest.raises(ConfigError, match=r"lambda[\s\S]*never run"):
        deserialize_keras_object(written)


class Doubled(kgraph.layers.Layer):
    def call(self, inputs: Any) -> Any:
        return 2 * inputs


def test_classes_of_ones_own_are_found_and_missed_by_name() -> None:
    class Own(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return 2 * inputs

    Own.__name__ = "Doubled"
    with relaxed():
        x = keras.Input((3,))
        model = keras.Model(x, Own()(x))
        text, config = model.to_json(), model.get_config()
    own = {"Doubled": Doubled}
    for made in (model_from_json(text, own), kgraph.Model.from_config(config, own)):
        assert type(made.layers[1]) is Doubled
    for read in (model_from_json, deserialize_keras_object):
        data: Any = text if read is model_from_json else json.loads(text)
        with pytest.raises(ConfigError, match="Doubled"):
            read(data)


def test_an_option_of_a_newer_keras_is_named() -> None:
    with relaxed():
        data = json.loads(tiny(keras).to_json())
        dense = keras.layers.Dense(2).get_config()
    data["config"]["layers"][1]["config"]["from_the_future"] = 3
    for read in (
        lambda: model_from_json(json.dumps(data)),
        lambda: kgraph.Model.from_config(data["config"]),
    ):
        with pytest.raises(
            ConfigError, match=r"(?s)config\.layers\[1\].*no option 'from_the_future'"
        ):
            read()
    with pytest.raises(ConfigError, match="no option 'from_the_future'"):
        kgraph.layers.Dense.from_config({**dense, "from_the_future": True})
    known = kgraph.layers.Dense.from_config({**dense, "quantization_config": None})  # says nothing
    assert known.units == 2
