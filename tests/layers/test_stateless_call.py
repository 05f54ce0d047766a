"""`stateless_call` and a training loop written by hand over the stateless API; as in Keras."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from checks import relaxed

import kgraph
from kgraph.errors import StateError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 3)).astype("float32")
Y = RNG.normal(size=(8, 2)).astype("float32")


def model_of(library: Any) -> Any:
    layers = library.layers
    inputs = library.Input((3,))
    hidden = layers.Dense(
        4,
        use_bias=False,  # whose gradient is 0 before a normalization, so that Adam amplifies noise
        kernel_initializer="ones",
        kernel_regularizer="l2",
        activity_regularizer="l1",
    )(inputs)
    outputs = layers.Dense(2, kernel_initializer="ones")(layers.BatchNormalization()(hidden))
    return library.Model(inputs, outputs)


def trained(library: Any) -> list[Any]:
    """Trains as the guide of Keras for loops with JAX does."""
    model = model_of(library)
    optimizer = library.optimizers.Adam(0.01)
    optimizer.build(model.trainable_variables)
    loss_fn = library.losses.MeanSquaredError()
    metric = library.metrics.MeanAbsoluteError()

    def loss_of(trainable, non_trainable, x, y):
        outputs, non_trainable, losses = model.stateless_call(
            trainable, non_trainable, x, training=True, return_losses=True
        )
        return loss_fn(y, outputs) + sum(losses), (outputs, non_trainable)

    @jax.jit
    def step(state, x, y):
        trainable, non_trainable, own, counts = state
        (loss, (outputs, non_trainable)), grads = jax.value_and_grad(loss_of, has_aux=True)(
            trainable, non_trainable, x, y
        )
        trainable, own = optimizer.stateless_apply(own, grads, trainable)
        counts = metric.stateless_update_state(counts, y, outputs)
        return loss, (trainable, non_trainable, own, counts)

    metric.update_state(Y[:1], Y[:1])
    metric.reset_state()
    parts = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    state: Any = tuple([v.value for v in part] for part in (*parts, metric.variables))
    losses = []
    for _ in range(3):
        loss, state = step(state, X, Y)
        losses.append(loss)
    return [*losses, *state[0], *state[1], metric.stateless_result(state[3])]


def test_a_loop_by_hand_has_the_numbers_of_keras():
    with relaxed():
        for one, other in zip(trained(kgraph), trained(keras), strict=True):
            np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=2e-4, atol=2e-5)


def test_a_subclassed_layer_and_state_that_it_assigns():
    class Counting(kgraph.layers.Layer):
        def __init__(self):
            super().__init__()
            self.n = self.add_variable(shape=(), initializer="zeros", trainable=False)

        def call(self, inputs):
            self.n.assign_add(1.0)
            return inputs * self.n

    layer = Counting()
    outputs, [n] = jax.jit(layer.stateless_call)([], [jnp.float32(4.0)], jnp.ones(2))
    np.testing.assert_array_equal(outputs, [5.0, 5.0])
    assert (float(n), float(layer.n)) == (5.0, 0.0)


def test_random_layers_ask_for_a_key():
    layer = kgraph.layers.Dropout(0.5)
    x = jnp.ones((2, 8))
    with pytest.raises(StateError, match=r"key=jax\.random\.key"):
        layer.stateless_call([], [], x, training=True)
    one, _ = layer.stateless_call([], [], x, training=True, key=jax.random.key(0))
    two, _ = layer.stateless_call([], [], x, training=True, key=jax.random.key(1))
    assert not np.array_equal(one, two)


def test_other_numbers_of_values_are_refused():
    dense = kgraph.layers.Dense(2)
    dense.build((None, 3))
    with pytest.raises(StateError, match=r"2 arrays: dense/kernel, dense/bias"):
        dense.stateless_call([jnp.ones((3, 2))], [], jnp.ones((1, 3)))
