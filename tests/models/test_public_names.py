"""What `dir` shows of a model: Keras' names, and the extras that are documented."""

from __future__ import annotations

from typing import Any

import keras
import pytest

import kgraph
from kgraph import Input, Model, Sequential
from kgraph.layers import Dense

EXTRAS = {
    "assign", "compile_report", "cost", "find_learning_rate", "forecast", "graph",
    "input_names", "max_batch_size", "memory", "next_key", "operations", "output_names", "plot",
    "to_mermaid", "use_executable", "variables_for",
}  # fmt: skip


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def trained(k: Any) -> Any:
    model = k.Sequential([k.Input((3,)), k.layers.Dense(2, use_bias=False)])
    model.compile("sgd", "mse")
    model.fit(keras.ops.ones((4, 3)), keras.ops.ones((4, 2)), verbose=0)
    return model


def test_a_model_shows_the_names_of_keras_and_the_documented_extras():
    assert public(trained(kgraph)) <= public(trained(keras)) | EXTRAS


def test_a_model_is_a_layer_and_nothing_else():
    assert [cls.__name__ for cls in Model.__mro__[:2]] == ["Model", "Layer"]
    assert len(Model.__mro__[:-1]) <= 4
    assert Sequential.__mro__[1] is Model


@pytest.mark.parametrize("cls", [Model, Sequential])
def test_what_kgraph_keeps_of_a_model_is_one_attribute(cls):
    model = cls() if cls is Model else cls([Input((3,)), Dense(2)])
    model.compile("sgd", "mse")
    assert {name for name in vars(model) if name.startswith("_")} == {"_kgraph"}
    own = _private(cls) - _private(object) - _private(keras.Model)
    assert all(name.startswith("_kgraph") for name in own)


def _private(cls: type) -> set[str]:
    return {name for name in dir(cls) if name.startswith("_") and not name.startswith("__")} - {
        "_repr_html_"
    }
