"""Sharing is identity of the layer object, read once and recorded as data."""

from __future__ import annotations

import jax
import numpy as np

import kgraph
from kgraph import Input, Layer, Model
from kgraph.layers import Dense

KEY = jax.random.key(0)


class Pair(Layer):
    """Holds two layers, possibly the same one."""

    def __init__(self, first: Layer, second: Layer, **options) -> None:
        super().__init__(**options)
        self.first, self.second = first, second

    def call(self, inputs):
        return self.second(self.first(inputs))


def test_a_layer_called_twice_has_one_entry():
    x = Input((3,))
    shared = Dense(3)
    model = Model(x, shared(shared(x)))
    assert jax.tree.map(np.shape, kgraph.lower(model).init(KEY)["params"]) == {
        "dense": {"bias": (3,), "kernel": (3, 3)}
    }
    assert len(model.weights) == 2


def test_two_equal_layers_keep_separate_parameters():
    x = Input((3,))
    model = Model(x, Dense(3)(Dense(3)(x)))
    params = kgraph.lower(model).init(KEY)["params"]
    assert sorted(params) == ["dense", "dense_1"]
    assert not np.array_equal(params["dense"]["kernel"], params["dense_1"]["kernel"])


def test_one_layer_in_two_attributes_is_one():
    shared = Dense(3)
    x = Input((3,))
    model = Model(x, Pair(shared, shared, name="pair")(x))
    assert model.graph.aliases == {"pair/second": "pair/first"}
    params = kgraph.lower(model).init(KEY)["params"]
    assert list(params["pair"]) == ["first"]
    separate = Model(x, Pair(Dense(3), Dense(3), name="pair")(x))
    assert separate.graph.aliases == {}
    assert sorted(kgraph.lower(separate).init(KEY)["params"]["pair"]) == ["first", "second"]


def shared_inside_and_outside() -> tuple[Model, Layer]:
    shared = Dense(3, name="shared")
    a = Input((3,))
    inner = Model(a, shared(a), name="inner")
    x = Input((3,))
    return Model(x, inner(shared(x))), shared


def test_a_layer_shared_with_a_nested_model_is_one():
    model, _ = shared_inside_and_outside()
    assert model.graph.aliases == {"inner/shared": "shared"}
    for passes in ((), None):
        params = kgraph.lower(model, passes).init(KEY)["params"]
        assert jax.tree.map(np.shape, params) == {"shared": {"bias": (3,), "kernel": (3, 3)}}


def test_the_shared_weights_are_used_in_both_places():
    model, shared = shared_inside_and_outside()
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    shared.set_weights([2 * np.eye(3), np.zeros(3)])
    np.testing.assert_array_equal(model(x), 4 * x)
    shared.set_weights([3 * np.eye(3), np.zeros(3)])
    np.testing.assert_array_equal(model(x), 9 * x)


def test_gradients_of_all_uses_are_summed():
    x = Input((1,))
    shared = Dense(1, use_bias=False)
    program = kgraph.lower(Model(x, shared(shared(x))))

    def loss(w):
        return program.apply({"params": {"dense": {"kernel": w}}, "state": {}}, np.ones((1, 1)))[
            0
        ].sum()

    assert jax.grad(loss)(np.full((1, 1), 3.0, np.float32)) == 6.0  # of w**2


def test_the_first_path_names_shared_weights_also_when_no_output_needs_it():
    shared = Dense(2)
    a = Input((2,))
    inner = Model(a, [shared(a), kgraph.ops.relu(a)], name="inner")
    x = Input((2,))
    model = Model(x, [inner(x)[1], shared(x)])
    kept = [jax.tree.structure(kgraph.lower(model, p).init(KEY)) for p in ((), None)]
    assert kept[0] == kept[1]


def test_two_models_that_share_a_layer_share_its_weights():
    x = Input((3,))
    hidden = Dense(3)
    h = hidden(x)
    full, part = Model(x, Dense(2)(h)), Model(x, h)
    full.set_weights([np.ones(w.shape) for w in full.weights])
    np.testing.assert_array_equal(part.get_weights()[0], np.ones((3, 3)))
