"""Models that write their steps, in Keras' words: each maker takes the library to make it of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

import kgraph

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(20, 4)).astype("float32")
Y = (X.sum(axis=1, keepdims=True) + 0.1).astype("float32")

Maker = Callable[[Any], Any]


def relaxed() -> Any:
    """Lets Keras' code run, which leans on what the tests of kgraph forbid."""
    return jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard")


def dense(api: Any, units: int, **options: Any) -> Any:
    """A Dense layer whose first weights both libraries draw alike."""
    return api.layers.Dense(units, kernel_initializer="ones", **options)


def spread_weights(model: Any) -> None:
    """Gives a model weights that are the same in both libraries."""
    random = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(0.3 * random.normal(size=variable.shape).astype("float32"))


def stepping(api: Any, base: Any = None, training: bool = True) -> Any:
    """A class that trains by hand: losses and metrics by their stateless methods."""

    class Stepping(base or api.Model):
        def loss_and_updates(self, trainable, rest, x, y, training=False):
            y_pred, rest = self.stateless_call(trainable, rest, x, training=training)
            return api.losses.MeanSquaredError()(y, y_pred), (y_pred, rest)

        def measured(self, metrics_variables, loss, y, y_pred):
            logs, new = {}, []
            for metric in self.metrics:
                own = metrics_variables[len(new) : len(new) + len(metric.variables)]
                given = (loss,) if metric.name == "loss" else (y, y_pred)
                own = metric.stateless_update_state(own, *given)
                logs[metric.name] = metric.stateless_result(own)
                new += own
            return logs, new

        def train_step(self, state, data):
            trainable, rest, optimizer, metrics = state
            x, y = data
            gradient = jax.value_and_grad(self.loss_and_updates, has_aux=True)
            (loss, (y_pred, rest)), grads = gradient(trainable, rest, x, y, training=training)
            trainable, optimizer = self.optimizer.stateless_apply(optimizer, grads, trainable)
            logs, metrics = self.measured(metrics, loss, y, y_pred)
            return logs, (trainable, rest, optimizer, metrics)

        def test_step(self, state, data):
            trainable, rest, metrics = state
            x, y = data
            loss, (y_pred, rest) = self.loss_and_updates(trainable, rest, x, y)
            logs, metrics = self.measured(metrics, loss, y, y_pred)
            return logs, (trainable, rest, metrics)

    return Stepping


def regression(
    api: Any,
    optimizer: Any = "sgd",
    layers: Callable[[Any], list[Any]] = lambda api: [],
    **how: Any,
) -> Any:
    """A model of tensors with such a step."""
    x = inputs = api.Input((4,))
    for layer in [dense(api, 3, activation="tanh"), *layers(api), dense(api, 1)]:
        x = layer(x)
    model = stepping(api)(inputs, x)
    spread_weights(model)
    model.compile(optimizer, loss="mse", metrics=["mae"], **how)
    return model


def gan(api: Any) -> Any:
    """Two models, two optimizers, no call: the second's variables are state of the model."""

    class Gan(api.Model):
        def __init__(self):
            super().__init__()
            self.generator = api.Sequential(
                [api.Input((2,)), dense(api, 3, activation="tanh"), dense(api, 4)]
            )
            self.discriminator = api.Sequential(
                [api.Input((4,)), dense(api, 3, activation="tanh"), dense(api, 1)]
            )
            self.d_tracker = api.metrics.Mean(name="d_loss")
            self.g_tracker = api.metrics.Mean(name="g_loss")
            self.built = True

        def compile(self, d_optimizer, g_optimizer, loss_fn):
            d_optimizer.build(self.discriminator.trainable_variables)
            g_optimizer.build(self.generator.trainable_variables)
            super().compile(optimizer=d_optimizer)
            self.g_optimizer, self.loss_fn = g_optimizer, loss_fn
            self.g_state = list(g_optimizer.variables)

        @property
        def metrics(self):
            return [self.d_tracker, self.g_tracker]

        def split(self, trainable):
            ours = len(self.generator.trainable_variables)
            return trainable[:ours], trainable[ours:]

        def d_loss(self, d, g, real, noise):
            fake, _ = self.generator.stateless_call(g, [], noise)
            both = jnp.concatenate([fake, real])
            judged, _ = self.discriminator.stateless_call(d, [], both)
            labels = jnp.concatenate([jnp.ones((len(fake), 1)), jnp.zeros((len(real), 1))])
            return self.loss_fn(labels, judged)

        def g_loss(self, g, d, noise):
            fake, _ = self.generator.stateless_call(g, [], noise)
            judged, _ = self.discriminator.stateless_call(d, [], fake)
            return self.loss_fn(jnp.zeros((len(fake), 1)), judged)

        def train_step(self, state, data):
            trainable, g_state, d_state, metrics = state
            real, noise, *_ = data  # train_on_batch of Keras adds None for weights
            g, d = self.split(trainable)
            d_loss, grads = jax.value_and_grad(self.d_loss)(d, g, real, noise)
            d, d_state = self.optimizer.stateless_apply(d_state, grads, d)
            g_loss, grads = jax.value_and_grad(self.g_loss)(g, d, noise)
            g, g_state = self.g_optimizer.stateless_apply(g_state, grads, g)
            size = len(self.d_tracker.variables)
            seen = self.d_tracker.stateless_update_state(metrics[:size], d_loss)
            made = self.g_tracker.stateless_update_state(metrics[size:], g_loss)
            logs = {
                "d_loss": self.d_tracker.stateless_result(seen),
                "g_loss": self.g_tracker.stateless_result(made),
            }
            return logs, ([*g, *d], g_state, d_state, [*seen, *made])

    model = Gan()
    spread_weights(model)
    model.compile(
        d_optimizer=api.optimizers.Adam(0.02),
        g_optimizer=api.optimizers.RMSprop(0.01),
        loss_fn=api.losses.BinaryCrossentropy(from_logits=True),
    )
    return model


def compared(train: Callable[[Any], Any], atol: float = 2e-6) -> None:
    """Compares what a program gives with both libraries, leaf by leaf; they add in float32."""
    first, second = relaxed()
    with first, second:
        expected = train(keras)
    found = train(kgraph)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=2e-5, atol=atol)


def values(variables: Any) -> list[np.ndarray]:
    return [np.asarray(variable.value) for variable in variables]
