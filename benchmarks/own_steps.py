"""A `train_step` of the model's own beside the same step by hand, and batches one by one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import Result, race

ROWS, SIZE, BATCH, EPOCHS, CALLS = 8192, 64, 128, 4, 200


def run(rounds: int = 5) -> Iterator[list[Result]]:
    """Yields the times of a step in `fit`, of `train_on_batch`, and of a generator's steps."""
    import keras

    import kgraph

    x = np.random.default_rng(0).normal(size=(ROWS, SIZE)).astype("float32")
    y = x[:, :1]
    steps: dict[str, Callable[[], object]] = {"scan by hand": _by_hand(x, y)}
    for name, api in (("kgraph", kgraph), ("Keras", keras)):
        steps[f"{name} fit, own train_step"] = _fit(_model(api), x, y)
    for contender in steps.values():
        contender()  # compiles
    yield race("own train_step", steps, EPOCHS * ROWS // BATCH, "step", rounds)
    for what, use in (("train_on_batch", _one_by_one), ("generator", _generated)):
        contenders = {
            n: use(_model(api), x, y) for n, api in (("Keras", keras), ("kgraph", kgraph))
        }
        for contender in contenders.values():
            contender()
        yield race(what, contenders, CALLS, "call", rounds)


def _model(api: Any) -> Any:
    class Own(api.Model):
        def loss_of(self, trainable: Any, rest: Any, x: Any, y: Any) -> Any:
            outputs, rest = self.stateless_call(trainable, rest, x, training=True)
            return jnp.mean((outputs - y) ** 2), rest

        def train_step(self, state: Any, data: Any) -> Any:
            trainable, rest, optimizer, metrics = state
            gradient = jax.value_and_grad(self.loss_of, has_aux=True)
            (loss, rest), grads = gradient(trainable, rest, *data[:2])
            trainable, optimizer = self.optimizer.stateless_apply(optimizer, grads, trainable)
            return {"squares": loss}, (trainable, rest, optimizer, metrics)

    outputs = inputs = api.Input((SIZE,))
    for _ in range(3):
        outputs = api.layers.Dense(256, activation="relu")(outputs)
    model = Own(inputs, api.layers.Dense(1)(outputs))
    model.compile(api.optimizers.SGD(0.01, momentum=0.9))
    return model


def _fit(model: Any, x: Any, y: Any) -> Callable[[], object]:
    return lambda: model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0)


def _one_by_one(model: Any, x: Any, y: Any) -> Callable[[], object]:
    return lambda: [model.train_on_batch(x[:BATCH], y[:BATCH]) for _ in range(CALLS)]


def _generated(model: Any, x: Any, y: Any) -> Callable[[], object]:
    def batches() -> Iterator[Any]:
        for _ in range(CALLS):
            yield x[:BATCH], y[:BATCH]

    return lambda: model.fit(batches(), steps_per_epoch=CALLS, verbose=0)


def _by_hand(x: Any, y: Any) -> Callable[[], object]:
    sizes = [SIZE, 256, 256, 256, 1]
    random = np.random.default_rng(1)
    params = [
        (jnp.asarray(random.normal(size=pair) / 16, jnp.float32), jnp.zeros(pair[1], jnp.float32))
        for pair in itertools.pairwise(sizes)
    ]
    trace = jax.tree.map(jnp.zeros_like, params)
    rows, targets = jnp.asarray(x), jnp.asarray(y)

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        for kernel, bias in params[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        return jnp.mean((x @ params[-1][0] + params[-1][1] - y) ** 2)

    def step(carry: Any, i: Any) -> Any:
        params, trace = carry
        cut = [jax.lax.dynamic_slice_in_dim(a, i * BATCH, BATCH) for a in (rows, targets)]
        loss, grads = jax.value_and_grad(loss_of)(params, *cut)
        trace = jax.tree.map(lambda t, g: 0.9 * t - 0.01 * g, trace, grads)
        return (jax.tree.map(jnp.add, params, trace), trace), loss

    epoch = jax.jit(lambda carry: jax.lax.scan(step, carry, jnp.arange(ROWS // BATCH)))

    def train() -> object:
        carry, losses = (params, trace), None
        for _ in range(EPOCHS):
            carry, losses = epoch(carry)
            jax.block_until_ready(losses)
        return losses

    return train
