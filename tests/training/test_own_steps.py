"""`train_step` and `test_step` of a model's class: Keras' numbers, and all that fit can do."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from own_step_models import X, Y, compared, dense, gan, regression, spread_weights, values


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda api: api.optimizers.SGD(0.05, momentum=0.9),
        lambda api: api.optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.5, clipnorm=0.5),
        lambda api: api.optimizers.Adam(api.optimizers.schedules.ExponentialDecay(0.05, 2, 0.5)),
    ],
    ids=["momentum", "average", "schedule"],
)
def test_the_step_of_the_guide_trains_as_in_keras(optimizer: Any) -> None:
    def train(api: Any) -> Any:
        model = regression(api, optimizer(api), lambda api: [api.layers.BatchNormalization()])
        given = {"batch_size": 6, "epochs": 2, "shuffle": False, "verbose": 0}
        history = model.fit(X, Y, validation_data=(X[:7], Y[:7]), **given).history
        return [
            {key: history[key] for key in sorted(history)},
            model.get_weights(),
            values(model.optimizer.variables),
            int(model.optimizer.iterations.value),
        ]

    compared(train)


def test_a_gan_with_two_optimizers_trains_as_in_keras() -> None:
    noise = np.random.default_rng(5).normal(size=(20, 2)).astype("float32")

    def train(api: Any) -> Any:
        model = gan(api)
        history = model.fit(X, noise, batch_size=6, epochs=2, verbose=0, shuffle=False).history
        step = model.train_on_batch(X[:4], noise[:4], return_dict=True)
        states = [values(o.variables) for o in (model.optimizer, model.g_optimizer)]
        return history, step, model.get_weights(), states

    compared(train)


def test_a_vae_without_a_call_trains_as_in_keras() -> None:
    def train(api: Any) -> Any:
        class Vae(api.Model):
            def __init__(self):
                super().__init__()
                self.encoder = api.Sequential([api.Input((4,)), dense(api, 4)])
                self.decoder = api.Sequential([api.Input((2,)), dense(api, 4)])
                self.trackers = [api.metrics.Mean(name=n) for n in ("loss", "divergence")]
                self.built = True

            @property
            def metrics(self):
                return self.trackers

            def losses_of(self, trainable, x, noise):
                size = len(self.encoder.trainable_variables)
                code, _ = self.encoder.stateless_call(trainable[:size], [], x)
                mean, log_var = api.ops.split(code, 2, axis=-1)
                latent = mean + api.ops.exp(0.5 * log_var) * noise
                decoded, _ = self.decoder.stateless_call(trainable[size:], [], latent)
                inner = 1 + log_var - api.ops.square(mean) - api.ops.exp(log_var)
                divergence = -0.5 * api.ops.mean(api.ops.sum(inner, axis=1))
                loss = divergence + api.ops.mean(api.ops.sum(api.ops.square(x - decoded), axis=1))
                return loss, divergence

            def measured(self, metrics, found):
                new, logs = [], {}
                for metric, value in zip(self.trackers, found):
                    own = metrics[len(new) : len(new) + len(metric.variables)]
                    new += metric.stateless_update_state(own, value)
                    logs[metric.name] = metric.stateless_result(new[-len(own) :])
                return logs, new

            def train_step(self, state, data):
                trainable, rest, optimizer, metrics = state
                gradient = jax.value_and_grad(self.losses_of, has_aux=True)
                found, grads = gradient(trainable, *data)
                trainable, optimizer = self.optimizer.stateless_apply(optimizer, grads, trainable)
                logs, metrics = self.measured(metrics, found)
                return logs, (trainable, rest, optimizer, metrics)

            def test_step(self, state, data):
                trainable, rest, metrics = state
                logs, metrics = self.measured(metrics, self.losses_of(trainable, *data))
                return logs, (trainable, rest, metrics)

        model = Vae()
        spread_weights(model)
        model.compile(optimizer=api.optimizers.Adam(0.01))
        noise = np.random.default_rng(5).normal(size=(20, 2)).astype("float32")
        history = model.fit(X, noise, batch_size=5, epochs=2, verbose=0, shuffle=False).history
        return history, model.evaluate(X, noise, verbose=0), model.get_weights()

    compared(train)


def test_a_distiller_trains_as_in_keras() -> None:
    def train(api: Any) -> Any:
        class Distiller(api.Model):
            def __init__(self):
                super().__init__()
                self.teacher = api.Sequential([api.Input((4,)), dense(api, 6), dense(api, 3)])
                self.student = api.Sequential([api.Input((4,)), dense(api, 3)])
                self.teacher.trainable = False

            def call(self, inputs):
                return self.student(inputs)

            def compute_loss(
                self, x=None, y=None, y_pred: Any = None, sample_weight=None, training=True
            ):
                soft = api.ops.softmax(self.teacher(x, training=False) / 3.0)
                mine = api.ops.softmax(y_pred / 3.0)
                return api.ops.mean(api.losses.kl_divergence(soft, mine)) + super().compute_loss(
                    x, y, y_pred, sample_weight
                )

            def train_step(self, state, data):
                logs, state = super().train_step(state, data)
                return {**logs, "double": 2 * logs["loss"]}, state

        model = Distiller()
        model.build((None, 4))
        spread_weights(model)
        random = np.random.default_rng(3)
        model.teacher.set_weights(
            [random.normal(size=w.shape).astype("float32") for w in model.teacher.get_weights()]
        )
        loss = api.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(api.optimizers.SGD(0.1), loss, metrics=["accuracy"])
        labels = (np.arange(20) % 3).astype("int32")
        history = model.fit(X, labels, batch_size=5, epochs=2, verbose=0, shuffle=False).history
        scores = model.evaluate(X, labels, verbose=0, return_dict=True)
        return {k: history[k] for k in sorted(history)}, scores, model.get_weights()

    compared(train)


def test_a_contrastive_model_with_a_queue_trains_as_in_keras() -> None:
    def train(api: Any) -> Any:
        class Contrastive(api.Model):
            def __init__(self):
                super().__init__()
                self.encoder = api.Sequential([api.Input((4,)), dense(api, 3)])
                start = np.random.default_rng(2).normal(size=(8, 3)).astype("float32")
                self.queue = api.Variable(start, trainable=False, name="queue")
                self.built = True

            def encoded(self, trainable, x):
                features, _ = self.encoder.stateless_call(trainable, [], x)
                return features / jnp.linalg.norm(features, axis=1, keepdims=True)

            def loss_of(self, trainable, queue, one, other):
                ours, theirs = self.encoded(trainable, one), self.encoded(trainable, other)
                near = jnp.sum(ours * theirs, axis=1, keepdims=True)
                logits = jnp.concatenate([near, ours @ queue.T], axis=1) / 0.5
                return jnp.mean(-jax.nn.log_softmax(logits)[:, 0]), theirs

            def train_step(self, state, data):
                trainable, [queue], optimizer, metrics = state
                gradient = jax.value_and_grad(self.loss_of, has_aux=True)
                (loss, keys), grads = gradient(trainable, queue, *data)
                trainable, optimizer = self.optimizer.stateless_apply(optimizer, grads, trainable)
                queue = jnp.concatenate([keys, queue])[: len(queue)]
                return {"contrast": loss}, (trainable, [queue], optimizer, metrics)

        model = Contrastive()
        spread_weights(model)
        model.compile(api.optimizers.Adam(0.01))
        other = X + np.float32(0.1)
        history = model.fit(X, other, batch_size=5, epochs=2, verbose=0, shuffle=False).history
        return history, model.get_weights()

    compared(train)


def test_an_actor_critic_trains_as_in_keras() -> None:
    def train(api: Any) -> Any:
        class ActorCritic(api.Model):
            def __init__(self):
                super().__init__()
                self.body = dense(api, 5, activation="tanh")
                self.actor, self.critic = dense(api, 2), dense(api, 1)

            def call(self, inputs):
                features = self.body(inputs)
                return self.actor(features), self.critic(features)

            def loss_of(self, trainable, rest, x, actions, rewards):
                (logits, value), rest = self.stateless_call(trainable, rest, x)
                advantage = rewards - value[:, 0]
                chosen = jnp.sum(jax.nn.log_softmax(logits) * jax.nn.one_hot(actions, 2), axis=1)
                policy = -jnp.mean(chosen * jax.lax.stop_gradient(advantage))
                return policy + 0.5 * jnp.mean(advantage**2), rest

            def train_step(self, state, data):
                trainable, rest, optimizer, metrics = state
                x, y, *_ = data  # train_on_batch of Keras adds None for weights
                gradient = jax.value_and_grad(self.loss_of, has_aux=True)
                (loss, rest), grads = gradient(trainable, rest, x, y["action"], y["reward"])
                trainable, optimizer = self.optimizer.stateless_apply(optimizer, grads, trainable)
                return {"total": loss}, (trainable, rest, optimizer, metrics)

        model = ActorCritic()
        model(X[:1])
        spread_weights(model)
        model.compile(api.optimizers.RMSprop(0.01))
        taken = {"action": (np.arange(20) % 2).astype("int32"), "reward": X[:, 0]}
        losses = [model.train_on_batch(X[i:], {k: v[i:] for k, v in taken.items()}) for i in (0, 9)]
        history = model.fit(X, taken, batch_size=5, epochs=2, verbose=0, shuffle=False).history
        return losses, history, model.get_weights(), model.predict(X, verbose=0)

    compared(train)


def test_a_loop_of_ones_own_over_the_stateless_api_trains_as_in_keras() -> None:
    def train(api: Any) -> Any:
        inputs = api.Input((4,))
        hidden = api.layers.BatchNormalization()(dense(api, 3)(inputs))
        model = api.Model(inputs, dense(api, 1)(hidden))
        spread_weights(model)
        model.compile(api.optimizers.SGD(0.01, momentum=0.5), "mse", metrics=["mae"])
        model.evaluate(X, Y, verbose=0)  # which builds the metrics
        model.optimizer.build(model.trainable_variables)

        @jax.jit
        def step(state, x, y):
            trainable, rest, optimizer, metrics = state

            def loss_of(trainable, rest, metrics):
                y_pred, rest = model.stateless_call(trainable, rest, x, training=True)
                loss, (_, rest, metrics) = model.stateless_compute_loss(
                    trainable, rest, metrics, x=x, y=y, y_pred=y_pred, training=True
                )
                return loss, (rest, metrics)

            gradient = jax.value_and_grad(loss_of, has_aux=True)
            (loss, (rest, metrics)), grads = gradient(trainable, rest, metrics)
            trainable, optimizer = model.optimizer.stateless_apply(optimizer, grads, trainable)
            return loss, (trainable, rest, optimizer, metrics)

        lists = (
            model.trainable_variables, model.non_trainable_variables,
            model.optimizer.variables, model.metrics_variables,
        )  # fmt: skip
        state = tuple([v.value for v in variables] for variables in lists)
        losses = []
        for i in range(0, 20, 5):
            loss, state = step(state, X[i : i + 5], Y[i : i + 5])
            losses.append(loss)
        for variables, new in zip(lists, state):
            for variable, value in zip(variables, new):
                variable.assign(value)
        return losses, model.get_weights(), model.predict(X, verbose=0)

    compared(train)


def test_masks_reach_the_loss_of_a_step_of_ones_own_as_in_keras() -> None:
    def train(api: Any) -> Any:
        class Logs(api.Model):
            def train_step(self, state, data):
                return super().train_step(state, data)

        inputs = api.Input((4, 1))
        masked = api.layers.Masking()(inputs)
        model = Logs(inputs, api.layers.TimeDistributed(dense(api, 1))(masked))
        model.compile(api.optimizers.SGD(0.1), "mse")
        series = X[:, :, None] * np.array([1, 1, 0, 0], "float32")[None, :, None]
        model.fit(series, np.ones((20, 4, 1), "float32"), epochs=2, verbose=0, shuffle=False)
        return model.get_weights()

    compared(train)
