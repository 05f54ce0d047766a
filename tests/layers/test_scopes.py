"""name_scope, device, remat, Operation, Function, state trees: as in Keras."""

from __future__ import annotations

import jax
import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import ConfigError, StateError


def paths(k):
    with k.name_scope("a"):
        one = k.Variable(1.0, name="w")
        with k.name_scope("b"):
            two = k.Variable(1.0, name="w")
        dense = k.layers.Dense(1, name="d")
        dense.build((None, 2))
    return [one.path, two.path, *(weight.path for weight in dense.weights)]


def test_name_scopes_stand_in_front_of_paths():
    assert paths(kgraph) == paths(keras)
    assert kgraph.Variable(1.0, name="w").path == "w"
    with pytest.raises(ConfigError, match="without '/'"), kgraph.name_scope("a/b"):
        pass


def test_new_arrays_are_made_on_the_device():
    with kgraph.device("cpu:1"):
        assert kgraph.ops.ones((2,)).devices() == {jax.devices("cpu")[1]}
    with pytest.raises(ConfigError, match=r"no device 'cpu:999'"), kgraph.device("cpu:999"):
        pass


def test_remat_is_a_checkpoint():
    function = kgraph.remat(lambda x: x * x)
    assert jax.grad(function)(3.0) == 6
    assert "remat" in str(jax.make_jaxpr(function)(3.0)) or "checkpoint" in str(
        jax.make_jaxpr(function)(3.0)
    )


def test_functions_and_operations():
    x = kgraph.Input((2,))
    double = kgraph.Function(x, x * 2)
    np.testing.assert_array_equal(double(np.ones((1, 2), "float32")), [[2, 2]])
    assert isinstance(kgraph.layers.Dense(1), kgraph.Operation)


def model_of(k):
    x = k.Input((2,))
    y = k.layers.BatchNormalization(name="bn")(k.layers.Dense(1, name="d")(x))
    model = k.Model(x, y, name="m")
    model.compile("sgd", "mse")
    return model


def test_state_trees_go_out_and_in():
    model = model_of(kgraph)
    tree = model.get_state_tree(value_format="numpy_array")
    expected = model_of(keras).get_state_tree()
    for kind in ("trainable_variables", "non_trainable_variables"):
        assert kgraph.tree.map_structure(np.shape, tree[kind]) == keras.tree.map_structure(
            np.shape, expected[kind]
        )
    tree["trainable_variables"]["d"]["kernel"] = np.full((2, 1), 5.0, "float32")
    model.set_state_tree({"trainable_variables": tree["trainable_variables"]})
    np.testing.assert_array_equal(model.get_weights()[0], [[5], [5]])
    with pytest.raises(StateError, match="no variable for 'trainable_variables/d/nothing'"):
        model.set_state_tree({"trainable_variables": {"d": {"nothing": 1.0}}})
    with pytest.raises(ConfigError, match="value_format"):
        model.get_state_tree("arrays")


def test_weights_may_be_assigned_by_a_function_from_elsewhere():
    def counter(write):
        class Counter(kgraph.layers.Layer):
            def build(self, shape):
                self.count = self.add_weight((), "zeros", trainable=False, name="count")

            def call(self, x):
                write(self.count)
                return x * 1.0

        return Counter()

    writers = {"add": lambda c: c.assign_add(1.0), "set": lambda c: c.assign(c + 1.0)}
    for write in writers.values():
        layer, eager = counter(write), counter(write)
        x = kgraph.Input((1,))
        model = kgraph.Model(x, layer(x))
        model.predict(np.ones((4, 1)), batch_size=2, verbose=0)
        model(np.ones((1, 1)))
        assert float(layer.count) > 0
        eager(np.ones((1, 1)))
        assert float(eager.count) == 1
