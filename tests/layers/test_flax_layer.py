"""FlaxLayer and JaxLayer against the modules and functions that they wrap."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import assert_near
from flax import linen, nnx

from kgraph.errors import ConfigError, StateError
from kgraph.layers.base import Context, Input, create_values
from kgraph.layers.base.binding import bind, updates
from kgraph.layers.base.tree import named_weights
from kgraph.layers.interop import FlaxLayer, JaxLayer

X = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
pytestmark = pytest.mark.usefixtures("relaxed")  # flax leans on promotion


class Network(linen.Module):
    """Has parameters, state, dropout, and a mode."""

    @linen.compact
    def __call__(self, x, training=False):
        x = linen.Dense(4)(x)
        x = linen.BatchNorm(use_running_average=not training)(x)
        return linen.Dropout(0.5, deterministic=not training)(x)

    @linen.compact
    def summed(self, x, y):
        return linen.Dense(2)(x) + linen.Dense(2)(y)


class Block(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(3, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dropout(self.norm(self.dense(x)))


def run(layer, *inputs, training=False, seed=0):
    """Returns outputs and new state by path, purely."""
    values = {id(w): w.value for w in layer.weights}
    context = Context(values, training, jax.random.key(seed) if training else None)
    outputs = bind(layer, context, layer.name)(*map(jnp.asarray, inputs))
    changed = updates(context)
    return outputs, {path: changed[id(w)] for path, w in named_weights(layer) if id(w) in changed}


def variables_of(layer):
    """Returns a linen layer's weights as variables."""
    found = {"params": {}}
    for path, weight in named_weights(layer):
        where = found if path.startswith("batch_stats") else found["params"]
        *parts, last = path.split("/")
        for part in parts:
            where = where.setdefault(part, {})
        where[last] = weight.value
    return found


def test_a_linen_module_computes_the_same_and_its_variables_are_weights():
    layer = FlaxLayer(Network())
    assert layer(Input((3,))).symbolic_shape == ("batch", 4)
    paths = [path for path, _ in named_weights(layer)]
    assert paths == [
        "BatchNorm_0/bias", "BatchNorm_0/scale", "Dense_0/bias", "Dense_0/kernel",
        "batch_stats/BatchNorm_0/mean", "batch_stats/BatchNorm_0/var",
    ]  # fmt: skip
    assert [w.trainable for w in layer.weights] == [True] * 4 + [False] * 2
    assert_near(layer(X), Network().apply(variables_of(layer), X), 1e-6)


def test_a_linen_module_in_training_draws_and_updates_its_state():
    layer = FlaxLayer(Network())
    layer(X)
    outputs, state = run(layer, X, training=True)
    _, expected = Network().apply(
        variables_of(layer),
        X,
        training=True,
        mutable=["batch_stats"],
        rngs={"dropout": jax.random.key(1)},
    )
    assert_near(
        state["batch_stats/BatchNorm_0/mean"], expected["batch_stats"]["BatchNorm_0"]["mean"], 1e-5
    )
    assert np.mean(np.asarray(outputs) == 0) > 0.1
    assert np.any(run(layer, X, training=True, seed=1)[0] != outputs)
    np.testing.assert_array_equal(run(layer, X, training=True)[0], outputs)
    assert not run(layer, X)[1]


def test_initial_values_are_those_of_one_init_and_follow_the_key():
    def values(seed):
        layer = FlaxLayer(Network())
        layer(Input((3,)))
        create_values(named_weights(layer), jax.random.key(seed))
        return variables_of(layer)["params"]["Dense_0"]["kernel"]

    np.testing.assert_array_equal(values(0), values(0))
    assert np.any(values(0) != values(1))
    assert 0.2 < np.std(values(0)) < 1.2  # lecun_normal of 3 features: 0.58


def test_two_layers_of_one_module_start_differently():
    module, kernels = Network(), []
    for name in ("one", "two"):
        layer = FlaxLayer(module, name=name)
        layer(Input((3,)))
        create_values(
            [(f"{name}/{path}", w) for path, w in named_weights(layer)], jax.random.key(0)
        )
        kernels.append(variables_of(layer)["params"]["Dense_0"]["kernel"])
    assert np.any(kernels[0] != kernels[1])


def test_given_variables_are_the_start():
    variables = Network().init(jax.random.key(5), X)
    layer = FlaxLayer(Network(), variables=variables)
    assert_near(layer(X), Network().apply(variables, X), 1e-6)


@pytest.mark.parametrize("method", ["summed", Network.summed])
def test_another_method_with_two_inputs(method):
    layer = FlaxLayer(Network(), method=method)
    assert layer(Input((3,)), Input((3,))).symbolic_shape == ("batch", 2)
    expected = Network().apply(variables_of(layer), X, 2 * X, method="summed")
    assert_near(layer(X, 2 * X), expected, 1e-6)


def test_a_module_without_random_numbers_needs_no_key():
    layer = FlaxLayer(linen.Dense(2))
    layer(X)
    values = {id(w): w.value for w in layer.weights}
    bind(layer, Context(values, training=True), "x")(jnp.asarray(X))
    assert not layer.draws


def test_gradients_reach_the_weights():
    layer = FlaxLayer(linen.Dense(2))
    layer(X)

    def loss(kernel):
        values = {id(layer.weights[0]): jnp.zeros(2), id(layer.weights[1]): kernel}
        return jnp.sum(bind(layer, Context(values), "x")(jnp.asarray(X)))

    gradient = jax.jit(jax.grad(loss))(jnp.ones((3, 2)))
    assert_near(gradient, np.repeat(X.sum(0)[:, None], 2, 1), 1e-5)


def test_an_nnx_module_computes_the_same_and_stays_as_it_is():
    module = Block(nnx.Rngs(0))
    layer = FlaxLayer(module)
    assert layer(Input((3,))).symbolic_shape == ("batch", 4)
    paths = {path: w.trainable for path, w in named_weights(layer)}
    assert paths == {
        "dense/bias": True, "dense/kernel": True, "norm/bias": True, "norm/scale": True,
        "norm/mean": False, "norm/var": False,
    }  # fmt: skip
    outputs, state = run(layer, X, training=True)
    assert np.mean(np.asarray(outputs) == 0) > 0.1
    assert np.any(run(layer, X, training=True, seed=1)[0] != outputs)
    dense = X @ layer.weights[1].numpy()
    assert_near(state["norm/mean"], 0.01 * dense.mean(0), 1e-4)
    module.eval()
    assert_near(layer(X), module(X), 1e-6)


def test_what_is_no_flax_module_is_refused():
    with pytest.raises(ConfigError, match=r"wraps a flax module[\s\S]*function"):
        FlaxLayer(run)


def test_a_jax_function_with_state_and_mode():
    def init(rng, inputs):
        return {"w": jax.random.normal(rng, (inputs.shape[-1], 2))}, {"calls": jnp.zeros(())}

    def call(params, state, inputs, training):
        return inputs @ params["w"], {"calls": state["calls"] + training}

    layer = JaxLayer(call, init)
    assert layer(Input(("time", 3))).symbolic_shape == ("batch", "time", 2)
    assert [path for path, _ in named_weights(layer)] == ["w", "calls"]
    outputs, state = run(layer, X, training=True)
    assert_near(outputs, X @ layer.weights[0].numpy(), 1e-6)
    assert state["calls"] == 1


def test_a_jax_function_with_given_parameters():
    layer = JaxLayer(lambda params, inputs: params[0] * inputs, params=[np.float32(3)])
    assert_near(layer(X), 3 * X, 1e-6)
    assert layer.trainable_weights[0].shape == ()


def test_functions_that_cannot_be_called_are_refused():
    with pytest.raises(ConfigError, match=r"cannot call this call_fn[\s\S]*x, y"):
        JaxLayer(lambda x, y: x, params=[])
    with pytest.raises(ConfigError, match="needs init_fn, or params"):
        JaxLayer(lambda inputs: inputs)


def test_state_of_another_structure_is_refused():
    layer = JaxLayer(
        lambda state, inputs: (inputs, {"b": inputs}), state={"a": np.zeros(2, "float32")}
    )
    with pytest.raises(StateError, match=r"structure[\s\S]*'a'[\s\S]*'b'"):
        layer(X)
