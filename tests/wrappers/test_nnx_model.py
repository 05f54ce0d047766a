"""NNXModel: flax.nnx sees the weights of a model, trains them, and gives them back."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import kgraph
from kgraph.errors import GraphError, StateError
from kgraph.wrappers import NNXModel

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def relaxed():
    """Flax leans on promotion."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def features(*layers: Any) -> kgraph.Model:
    inputs = x = kgraph.Input((4,))
    for layer in (kgraph.layers.Dense(3, name="first"), *layers):
        x = layer(x)
    return kgraph.Model(inputs, x)


class Regressor(nnx.Module):
    """A module of flax' with a model inside."""

    def __init__(self, model: kgraph.Model) -> None:
        self.features = NNXModel(model)
        self.head = nnx.Linear(3, 1, rngs=nnx.Rngs(0))

    def __call__(self, x: Any) -> Any:
        return self.head(self.features(x))


@nnx.jit
def step(module: Any, optimizer: Any) -> Any:
    def loss(module: Any) -> Any:
        return jnp.mean((module(X) - Y) ** 2)

    value, grads = nnx.value_and_grad(loss)(module)
    optimizer.update(module, grads)
    return value


def test_a_module_that_holds_a_model_shows_its_leaves_and_trains_them():
    model = features()
    module = Regressor(model)
    state = nnx.state(module, nnx.Param)
    assert state["features"]["weights"]["first"]["kernel"][...].shape == (4, 3)
    graph, leaves = nnx.split(module)
    np.testing.assert_array_equal(nnx.merge(graph, leaves)(X), module(X))
    before = model.get_weights()[0]
    optimizer = nnx.Optimizer(module, optax.sgd(0.05), wrt=nnx.Param)
    losses = [float(step(module, optimizer)) for _ in range(8)]
    assert losses[-1] < 0.5 * losses[0]
    np.testing.assert_array_equal(model.get_weights()[0], before)  # a copy, until
    assert module.features.give_back() is model
    assert not np.array_equal(model.get_weights()[0], before)
    np.testing.assert_allclose(model.predict(X, verbose=0), module.features(X), rtol=1e-5)


def test_nnx_takes_the_steps_that_fit_takes():
    by_fit, by_nnx = features(kgraph.layers.Dense(1)), features(kgraph.layers.Dense(1))
    by_nnx.set_weights(by_fit.get_weights())
    by_fit.compile(kgraph.optimizers.SGD(0.05), "mse")
    by_fit.fit(X, Y, batch_size=16, epochs=3, verbose=0)
    module = NNXModel(by_nnx)
    optimizer = nnx.Optimizer(module, optax.sgd(0.05), wrt=nnx.Param)
    for _ in range(3):
        step(module, optimizer)
    for one, other in zip(by_fit.get_weights(), module.give_back().get_weights()):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_state_and_frozen_weights_are_no_params_and_modes_are_those_of_flax():
    norm, noise = kgraph.layers.BatchNormalization(name="norm"), kgraph.layers.Dropout(0.5)
    model = features(norm, noise)
    model.get_layer("first").trainable = False
    module = NNXModel(model, rngs=nnx.Rngs(dropout=1))
    assert set(nnx.state(module, nnx.Param)["weights"]) == {"norm"}
    assert set(nnx.state(module, nnx.BatchStat)["weights"]["norm"]) == {
        "moving_mean", "moving_variance",
    }  # fmt: skip
    np.testing.assert_allclose(module(X), model(X), rtol=1e-6)
    module.train()
    first, second = np.asarray(module(X)), np.asarray(module(X))
    assert not np.array_equal(first, second)
    assert not np.array_equal(module.weights["norm"]["moving_mean"][...], np.zeros(3))
    module.eval()
    np.testing.assert_allclose(module(X), module.give_back()(X), rtol=1e-5)
    with pytest.raises(StateError, match="key"):
        NNXModel(model)(X, training=True)


def test_what_is_no_model_or_has_no_graph_is_refused():
    with pytest.raises(GraphError, match="'dense' \\(Dense\\) has no graph"):
        NNXModel(kgraph.layers.Dense(1))  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="call it once"):
        NNXModel(kgraph.Sequential([kgraph.layers.Dense(1)]))
