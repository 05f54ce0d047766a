"""Keras' JAX guides on loops of one's own, on one device and on several, in our own words."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras as reference
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import kgraph

X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = (X.sum(1) > 0).astype("int32")


def network(k):
    x = k.Input((4,))
    y = k.layers.Dense(8, activation="relu", kernel_initializer="ones")(x)
    return k.Model(x, k.layers.Dense(2, kernel_initializer="zeros")(y))


def loop(k, place=lambda array: array, cut=lambda array: array):
    """Trains by a step over lists of variables; returns loss, accuracy and the model's outputs."""
    model, optimizer = network(k), k.optimizers.Adam(1e-2)
    loss_fn = k.losses.SparseCategoricalCrossentropy(from_logits=True)
    metric = k.metrics.SparseCategoricalAccuracy()
    optimizer.build(model.trainable_variables)

    def compute(trainable, fixed, seen, x, y):
        outputs, fixed = model.stateless_call(trainable, fixed, x, training=True)
        return loss_fn(y, outputs), (metric.stateless_update_state(seen, y, outputs), fixed)

    @jax.jit
    def step(state, x, y):
        trainable, fixed, moments, seen = state
        gradient = jax.value_and_grad(compute, has_aux=True)
        (loss, (seen, fixed)), grads = gradient(trainable, fixed, seen, x, y)
        trainable, moments = optimizer.stateless_apply(moments, grads, trainable)
        return loss, (trainable, fixed, moments, seen)

    groups = (
        model.trainable_variables, model.non_trainable_variables, optimizer.variables,
        metric.variables,
    )  # fmt: skip
    state = tuple([place(jnp.asarray(v.value)) for v in group] for group in groups)
    for start in range(0, 32, 8):
        loss, state = step(state, cut(X[start : start + 8]), cut(Y[start : start + 8]))
    for group, values in zip(groups, state):
        for variable, value in zip(group, values):
            variable.assign(value)
    return float(loss), float(metric.result()), np.asarray(model(X))


def test_a_training_loop_over_the_stateless_api():
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        expected = loop(reference)
    for one, other in zip(loop(kgraph), expected):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6)


def test_the_same_loop_on_several_devices():
    mesh = Mesh(np.asarray(jax.devices()[:4]), ("batch",))
    everywhere = NamedSharding(mesh, PartitionSpec())
    rows = NamedSharding(mesh, PartitionSpec("batch"))
    spread = loop(
        kgraph,
        lambda array: jax.device_put(array, everywhere),
        lambda array: jax.device_put(array, rows),
    )
    for one, other in zip(spread, loop(kgraph)):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
