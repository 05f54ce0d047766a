"""A model as JSON text: its layout is fixed by a version, and hostile text is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from saved_models import MODELS, ROWS, Coded, Scaled, custom, dense, flat

from kgraph import saving
from kgraph.errors import ConfigError, GraphError
from kgraph.models import model_from_json


@pytest.mark.parametrize("name", ["dense", "lifted", "structured", "late_sequential"])
def test_a_model_comes_back(name):
    build, data = MODELS[name]
    model = build()
    text = model.to_json(indent=1)
    again = model_from_json(text)
    assert again.graph == model.graph
    assert again.to_json(indent=1) == text
    again.set_weights(model.get_weights())
    for one, two in zip(flat(model(data)), flat(again(data)), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_model_defined_by_code_comes_back():
    model = Coded(3)
    model({"left": ROWS, "right": ROWS})
    again = model_from_json(model.to_json(), custom_objects={"Coded": Coded})
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]


SCHEMA = {
    "format": "kgraph model",
    "format_version": 1,
    "model": {
        "kind": "layer",
        "class_name": "Model",
        "config": {
            "name": "plain",
            "trainable": True,
            "format": 1,
            "input_names": ["x"],
            "inputs": {"tensor": ["x", 0]},
            "outputs": {"tensor": ["dense", 0]},
            "layers": {"x": "InputLayer", "dense_1": "Dense", "dense": "Dense"},
            "aliases": {},
            "nodes": [
                {
                    "name": "dense_1", "layer": "dense_1", "args": [{"slot": 0}], "kwargs": {},
                    "inputs": [["x", 0]],
                },
                {
                    "name": "dense", "layer": "dense", "args": [{"slot": 0}], "kwargs": {},
                    "inputs": [["dense_1", 0]],
                },
            ],
        },
    },
    "inputs": None,
}  # fmt: skip


def test_the_layout_of_this_version_stays():
    """Whoever must change this raises the version, or old files and texts are misread."""
    found = json.loads(dense().to_json())
    layers = found["model"]["config"]["layers"]
    for name, layer in layers.items():
        assert set(layer) == {"kind", "class_name", "config"}
        assert layer["kind"] == "layer"
        assert layer["config"]["name"] == name
        layers[name] = layer["class_name"]
    assert found == SCHEMA


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"format_version": 2}, r"place +format_version[\s\S]*expected +1[\s\S]*received +2"),
        ({"format": "keras"}, r"place +format"),
        ({"model": None}, r"place +model"),
        ({"evil": 1}, r"the keys format"),
    ],
)
def test_other_texts_are_refused(change, expected):
    text = json.dumps({**json.loads(dense().to_json()), **change})
    with pytest.raises(ConfigError, match=expected):
        model_from_json(text)


def test_what_is_no_json_and_what_names_strangers_is_refused():
    with pytest.raises(ConfigError, match=r"no JSON[\s\S]*twice"):
        model_from_json('{"a": 1, "a": 2}')
    with pytest.raises(ConfigError, match=r"No layer is known as 'Scaled'[\s\S]*custom_objects="):
        model_from_json(custom().to_json())
    assert model_from_json(custom().to_json(), {"Scaled": Scaled}).layers[1].factor == 3.0
    with pytest.raises((ConfigError, GraphError), match="head"):
        model_from_json(dense().to_json().replace('["dense_1", 0]', '["head\\u001b", 0]'))


def test_an_option_that_cannot_be_written_is_named():
    model = dense()
    model.layers[1].activation = None
    assert saving.model_to_json(model) == dense().to_json()
