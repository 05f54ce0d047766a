"""Sequential models without an Input, held by others, of structures and of models: as in Keras."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import ConfigError, DataError, GraphError

ONES = {"kernel_initializer": "ones"}


def array(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 10


def in_a_layer(k: Any) -> Any:
    class Block(k.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.parts = [k.Sequential([k.layers.Dense(3, **ONES), k.layers.Dropout(0.1)])]

        def call(self, x: Any, training: bool | None = None) -> Any:
            return self.parts[0](x, training=training)

    x, block = k.Input((5,)), Block()
    eager = Block()(array(2, 4))
    model = k.Model(x, k.layers.Dense(1, **ONES)(block(x)))
    return eager, model.predict(array(2, 5), verbose=0), len(block.weights), len(model.weights)


def in_a_model(k: Any) -> Any:
    class Own(k.Model):
        def __init__(self) -> None:
            super().__init__(name="own")
            self.body = k.Sequential([k.layers.Dense(3, name="a", **ONES)], name="body")
            self.head = k.layers.Dense(1, name="head", **ONES)

        def call(self, x: Any) -> Any:
            return self.head(self.body(x))

    model = Own()
    model.compile("sgd", "mse")
    history = model.fit(array(4, 2), array(4, 1), epochs=2, shuffle=False, verbose=0).history
    paths = [weight.path for weight in model.weights]
    return history["loss"], model.predict(array(4, 2), verbose=0), paths


def wrapped(k: Any) -> Any:
    layer = k.layers.TimeDistributed(k.Sequential([k.layers.Dense(2, **ONES)]))
    return layer(array(1, 2, 3)), len(layer.weights)


def other_sizes(k: Any) -> Any:
    convolution = k.layers.Conv2D(2, 3, **ONES)
    model = k.Sequential([convolution, k.layers.GlobalAveragePooling2D()])
    model.build((4, 8, 8, 3))
    x = k.Input((None, None, 3))
    functional = k.Model(x, model(x))
    calls = [model(array(1, 8, 8, 3)), model(array(2, 6, 9, 3)), functional(array(1, 4, 5, 3))]
    return calls, model.predict(array(2, 5, 5, 3), verbose=0), model.input_shape


def dicts(k: Any) -> Any:
    class Sum(k.layers.Layer):
        def call(self, x: Any) -> Any:
            return {"sum": x["a"] + x["b"][0]}

    class Twice(k.layers.Layer):
        def call(self, x: Any) -> Any:
            return x["sum"] * 2

    x = {"a": array(2, 3), "b": [array(2, 3)]}
    model = k.Sequential([Sum(), Twice()])
    return model(x), model.predict(x, verbose=0)


def lists(k: Any) -> Any:
    model = k.Sequential([k.layers.Concatenate(), k.layers.Dense(1, **ONES)])
    model.compile("sgd", "mse")
    history = model.fit([array(2, 3), array(2, 2)], array(2, 1), verbose=0).history
    return history["loss"], model([array(2, 3), array(2, 2)])


def of_models(k: Any) -> Any:
    x, y = k.Input((3,)), k.Input((2,))
    first = k.Model([x, y], k.layers.Concatenate()([x, y]))
    inner = k.Sequential([k.layers.Dense(2, name="a", **ONES)], name="inner")
    model = k.Sequential([first, inner, k.layers.Dense(1, name="b", **ONES)], name="outer")
    outputs = model([array(2, 3), array(2, 2)])
    return model.built, outputs, [weight.path for weight in model.weights]


def an_unbuilt_one_inside(k: Any) -> Any:
    inner = k.Sequential([k.layers.Dense(2, **ONES)])
    model = k.Sequential([inner, k.layers.Dense(1, **ONES)])
    before = model.built
    return before, model(array(2, 3)), model.built, inner.built, len(model.weights)


def told_by_the_first_layer(k: Any) -> Any:
    models = [
        k.Sequential([k.layers.Dense(2, input_shape=(3,)), k.layers.Dense(1)]),
        k.Sequential([k.layers.Dense(2, input_dim=3)]),
        k.Sequential([k.layers.Conv2D(2, 3, input_shape=(8, 8, 3))]),
        k.Sequential([k.layers.Embedding(10, 4, input_shape=(7,))]),
    ]
    grown = k.Sequential()
    grown.add(k.layers.Dense(2, input_shape=(3,)))
    models.append(grown)
    x = k.Input((3,))
    functional = k.Model(x, k.layers.Dense(2, input_shape=(5,))(x))  # only a Sequential looks
    return [(m.built, m.input_shape, m.output_shape) for m in [*models, functional]]


@pytest.mark.parametrize(
    "program",
    [
        in_a_layer, in_a_model, wrapped, other_sizes, dicts, lists, of_models,
        an_unbuilt_one_inside, told_by_the_first_layer,
    ],
    ids=lambda program: program.__name__,
)  # fmt: skip
def test_it_does_what_keras_does(program: Callable[[Any], Any]):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras' of `input_shape`
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            expected = program(keras)
    found = program(kgraph)
    assert kgraph.tree.map_structure(lambda _: 0, found) == keras.tree.map_structure(
        lambda _: 0, expected
    )
    for one, other in zip(kgraph.tree.flatten(found), keras.tree.flatten(expected)):
        if isinstance(other, (str, bool, int, type(None))):
            assert one == other
        else:
            np.testing.assert_allclose(one, other, rtol=2e-6)


class Own(kgraph.Model):
    """Defined by code, and recurrent: sequences may have any length."""

    def __init__(self) -> None:
        super().__init__()
        self.body = kgraph.layers.SimpleRNN(2)

    def call(self, x):
        return self.body(x)


@pytest.mark.parametrize(
    "make", [Own, lambda: kgraph.Sequential([kgraph.layers.SimpleRNN(2)])], ids=["own", "stack"]
)
def test_batches_may_have_other_sizes_than_the_first(make):
    model = make()
    model.compile("sgd", "mse")
    batches = [(array(2, length, 3), array(2, 2)) for length in (3, 4, 3)]
    validation = array(2, 5, 3), array(2, 2)
    model.fit(iter(batches), validation_data=validation, steps_per_epoch=3, verbose=0)
    assert model.predict(array(1, 6, 3), verbose=0).shape == (1, 2)
    with pytest.raises(DataError, match="fails on sizes other than those of the first data"):
        model.predict(array(1, 6, 4), verbose=0)
    with pytest.raises((DataError, GraphError), match="axes"):
        model(array(1, 3))


def test_an_input_that_was_given_is_exact():
    given = kgraph.Input((8, 8, 3))
    model = kgraph.Sequential([given, kgraph.layers.GlobalAveragePooling2D()])
    assert model.inputs[0] is given
    with pytest.raises(DataError, match="has the wrong size"):
        model(array(1, 9, 9, 3))


def test_sizes_of_the_first_data_are_no_part_of_a_file(tmp_path):
    model = kgraph.Sequential([kgraph.layers.Conv1D(2, 3)])
    model(array(1, 8, 3))
    model.save(tmp_path / "m.kgraph")
    again = kgraph.saving.load_model(tmp_path / "m.kgraph")
    assert again.input_shape == (None, 8, 3)
    np.testing.assert_array_equal(again(array(1, 5, 3)), model(array(1, 5, 3)))
    assert kgraph.models.clone_model(model)(array(1, 4, 3)).shape == (1, 2, 2)


def test_the_shape_that_a_layer_was_given_is_an_input_in_configs():
    model = kgraph.Sequential([kgraph.layers.LSTM(2, batch_input_shape=(4, 5, 3))])
    assert model.input_shape == (4, 5, 3)
    assert "batch_input_shape" not in model.layers[0].get_config()
    again = kgraph.Sequential.from_config(model.get_config())
    assert again.graph == model.graph
    assert kgraph.layers.Embedding(5, 2, input_shape=(3,)).get_config()["input_dim"] == 5
    with pytest.warns(UserWarning, match="input_length has no effect"):
        kgraph.layers.Embedding(10, 4, input_length=7)


def test_names_are_those_that_the_layers_will_have():
    model = kgraph.Sequential([kgraph.layers.Dense(2), kgraph.layers.Dense(1)])
    assert [layer.name for layer in model.layers] == ["dense", "dense_1"]
    with pytest.raises(GraphError, match="Two layers of this model are named 'a'"):
        kgraph.Sequential([kgraph.layers.Dense(2, name="a"), kgraph.layers.Dense(1, name="a")])
    with pytest.raises(ConfigError, match="Input goes in front"):
        kgraph.Sequential([kgraph.layers.Dense(2, input_shape=(3,)), kgraph.Input((3,))])
