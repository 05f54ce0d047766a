"""The class of a model is its author's: every name that Keras does not have is free in it."""

from __future__ import annotations

import copy
from typing import Any

import keras
import numpy as np
import pytest

import kgraph
from kgraph import Input, Layer, Model, Sequential
from kgraph.models import load_model

WORDS = """
accumulate attention backbone backend batch blocks body cache channels children classes
compiler config core count data depth dims display embedding encoder decoder engine entry
epoch explicit_name features gates graph_layers head heads helper history_ index_ inference
inner_graph kernel kept_name key kind label labels layer length level lowering mapping mask
masks_inside memory_bank merge mode names nodes norm operations options order outer own owning
parts path_ placement plan policy pool program programs project queue rate record_ reached
root rows rules running scale schedule seed_words segment size sizes source spec state step
steps stream student tail teacher trainer training_state units value variant weight width
window optimizer_ params _compiler _engine _graph _program _training _options _weights
_context _layers_in_order _running _symbols _placement _traced _seen
"""
X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")


def public(thing: Any) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def keras_names() -> set[str]:
    """Returns what Keras' models have, those attributes included that `compile` and `fit` set."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, :1], verbose=0)
    return public(model) | public(keras.Model)


NAMES = sorted(
    {*WORDS.split(), *public(Sequential)} - keras_names() - {"mixes_rows"}
)  # a hook for users


@kgraph.saving.register_keras_serializable("tests")
class Scale(Layer):
    def build(self, input_shape):
        self.factor = self.add_weight((), "ones", name="factor")

    def call(self, inputs):
        return inputs * self.factor


@kgraph.saving.register_keras_serializable("tests")
class Same(Layer):
    """Costs nothing to compile: a few layers with weights are enough."""

    def call(self, inputs):
        return inputs


KINDS = {
    "layer": lambda i: Same() if i % 8 else Scale(),
    "number": lambda i: 3,
    "layers": lambda i: [Same() if i % 8 else Scale()],
}


def layers_in(value: Any) -> list[Layer]:
    found = value if isinstance(value, list) else [value]
    return [item for item in found if isinstance(item, Layer)]


def subclass(base: type, kind: str) -> type:
    """Returns a class of a model in which each of the names is one kind of thing."""
    if kind in ("property", "method"):
        thing: Any = property(lambda self: 3) if kind == "property" else lambda self, *args: 3
        body: dict[str, Any] = dict.fromkeys(NAMES, thing)
    else:
        body = {}

    class Named(base):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            for i, name in enumerate(NAMES if kind in KINDS else ()):
                setattr(self, name, KINDS[kind](i))

    def call(self: Any, inputs: Any) -> Any:
        held = [x for n in NAMES if kind in KINDS for x in layers_in(getattr(self, n))]
        return sum((layer(inputs) for layer in held), inputs) / (1 + len(held))

    if base is Model:
        body["call"] = call
    made = type("Named", (Named,), body)
    return kgraph.saving.register_keras_serializable("tests", f"{base.__name__}_{kind}")(made)


CLASSES = {
    (base.__name__, kind): subclass(base, kind)
    for base in (Model, Sequential)
    for kind in (*KINDS, "property", "method")
}


@pytest.mark.filterwarnings("ignore:No weight of the model is trained")  # where none is a layer
@pytest.mark.parametrize("kind", [*KINDS, "property", "method"])
@pytest.mark.parametrize("base", ["Model", "Sequential"])
def test_every_name_that_keras_has_not_is_free(base, kind, tmp_path):
    cls = CLASSES[base, kind]
    model = cls([Input((3,)), Scale()]) if base == "Sequential" else cls()
    model.compile("sgd", "mse")
    history = model.fit(X, 2 * X, verbose=0)
    assert all(weight.numpy() != 1 for weight in model.weights)
    assert np.isfinite(history.history["loss"])
    expected = model.predict(X, verbose=0)
    if base == "Model":  # each layer is a part of the model, whatever it is called
        scales = -(-len(NAMES) // 8) if kind in ("layer", "layers") else 0
        assert len(model.weights) == scales
        assert {id(layer) for layer in model.layers} == {
            id(layer)
            for name in NAMES
            if kind in KINDS
            for layer in layers_in(getattr(model, name))
        }
    model.save(tmp_path / "m.kgraph")
    for other in (load_model(tmp_path / "m.kgraph"), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.predict(X, verbose=0), expected)
    for name in NAMES if kind in ("number", "property") else ():
        assert getattr(model, name) == 3


def test_a_public_name_that_a_class_takes_is_the_only_one_that_it_loses():
    class Named(Model):
        def __init__(self) -> None:
            super().__init__()
            self.graph, self.cost = 1, 2

        def call(self, inputs):
            return inputs

    model = Named()
    model.compile("sgd", "mse")
    model.predict(X, verbose=0)
    assert (model.graph, model.cost) == (1, 2)
    assert model.input_names == ["input_layer"]
    assert model.memory(4).batch_size == 4
