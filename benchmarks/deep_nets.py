"""Deep nets of equal blocks: time from nothing to the first finished training step, and of a step.

A pre-norm transformer (128 features, 4 heads, 64 steps, batch 8, Adam), by its number of blocks:
`python -m benchmarks.deep_nets 6 24 48 96`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.measure import Result, race, summarize, table

WIDTH, HEADS, TIME, BATCH, STEPS = 128, 4, 64, 8, 4
DEPTHS = (6, 24, 48, 96)

Block = dict[str, Any]
Train = Callable[[int], object]
"""Trains a number of steps."""


def run(rounds: int = 3, depths: tuple[int, ...] = DEPTHS) -> Iterator[list[Result]]:
    """Yields, for each depth, the times to the first step (once) and of a step."""
    x, y = data()
    for depth in depths:
        first: dict[str, list[float]] = {}
        steps: dict[str, Train] = {}
        for name, start in contenders(x, y).items():
            jax.clear_caches()
            begin = time.perf_counter()
            steps[name] = start(depth)
            steps[name](1)
            first[name] = [time.perf_counter() - begin]
            steps[name](STEPS)  # compiles once more where the number of rows is part of a program
        yield summarize(f"first step, {depth} blocks", first, "run")
        runs = {name: partial(train, STEPS) for name, train in steps.items()}
        yield race(f"step, {depth} blocks", runs, STEPS, "step", rounds)


def data() -> tuple[np.ndarray, np.ndarray]:
    """Returns inputs and targets of the steps of one run."""
    random = np.random.default_rng(0)
    shape = (2, BATCH * STEPS, TIME, WIDTH)
    x, y = random.normal(size=shape).astype(np.float32)
    return x, y


def contenders(x: np.ndarray, y: np.ndarray) -> dict[str, Callable[[int], Train]]:
    """Returns for each contender what gives, for a depth, a function that trains some steps."""
    import keras

    import kgraph

    return {
        "scan by hand": partial(_by_hand, True, x, y),
        "unrolled by hand": partial(_by_hand, False, x, y),
        "kgraph": partial(_fit, kgraph, {"stack": "auto"}, x, y),
        "kgraph, not stacked": partial(_fit, kgraph, {"stack": False}, x, y),
        "Keras": partial(_fit, keras, {}, x, y),
    }


# --- with a library ------------------------------------------------------------------------------


def transformer(api: Any, depth: int) -> Any:
    """Returns the model, uncompiled; `api` is `kgraph` or `keras`."""
    layers = api.layers
    inputs = x = api.Input((TIME, WIDTH))
    for _ in range(depth):
        h = layers.LayerNormalization()(x)
        x = layers.add([x, layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(h, h)])
        h = layers.Dense(4 * WIDTH, activation="relu")(layers.LayerNormalization()(x))
        x = layers.add([x, layers.Dense(WIDTH)(h)])
    return api.Model(inputs, layers.LayerNormalization()(x))


def _fit(api: Any, options: dict[str, Any], x: np.ndarray, y: np.ndarray, depth: int) -> Train:
    model = transformer(api, depth)
    model.compile(api.optimizers.Adam(1e-4), "mse", **options)

    def train(steps: int) -> object:
        rows = slice(steps * BATCH)
        return model.fit(x[rows], y[rows], batch_size=BATCH, epochs=1, shuffle=False, verbose=0)

    return train


# --- by hand -------------------------------------------------------------------------------------


def _new_block(random: np.random.Generator) -> Block:
    def kernel(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32) / np.float32(np.sqrt(shape[0]))

    def zeros(size: int) -> np.ndarray:
        return np.zeros(size, np.float32)

    dense = {n: (kernel(WIDTH, WIDTH), zeros(WIDTH)) for n in ("q", "k", "v", "out")}
    wide = {
        "up": (kernel(WIDTH, 4 * WIDTH), zeros(4 * WIDTH)),
        "down": (kernel(4 * WIDTH, WIDTH), zeros(WIDTH)),
    }
    norms = {name: (np.ones(WIDTH, np.float32), zeros(WIDTH)) for name in ("norm1", "norm2")}
    return {**dense, **wide, **norms}


def _norm(x: jax.Array, p: Any) -> jax.Array:
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-3) * p[0] + p[1]


def _dense(x: jax.Array, p: Any) -> jax.Array:
    return x @ p[0] + p[1]


def block(p: Block, x: jax.Array) -> jax.Array:
    """Returns what one block makes of `[batch, time, features]`."""
    h = _norm(x, p["norm1"])
    heads = (*h.shape[:2], HEADS, WIDTH // HEADS)
    q, k, v = (_dense(h, p[name]).reshape(heads) for name in ("q", "k", "v"))
    scores = jnp.einsum("bqhf,bkhf->bhqk", q, k) * (WIDTH // HEADS) ** -0.5
    mixed = jnp.einsum("bhqk,bkhf->bqhf", jax.nn.softmax(scores), v)
    x = x + _dense(mixed.reshape(x.shape), p["out"])
    return x + _dense(jax.nn.relu(_dense(_norm(x, p["norm2"]), p["up"])), p["down"])


def _by_hand(scan: bool, x: np.ndarray, y: np.ndarray, depth: int) -> Train:
    random = np.random.default_rng(0)
    blocks = [_new_block(random) for _ in range(depth)]
    stacked = jax.tree.map(lambda *rows: np.stack(rows), *blocks) if scan else blocks
    optimizer = optax.adam(1e-4)
    params: Any = jax.tree.map(jnp.asarray, [stacked, (np.ones(WIDTH, "f"), np.zeros(WIDTH, "f"))])

    def predict(params: Any, x: jax.Array) -> jax.Array:
        if scan:
            x = jax.lax.scan(lambda x, p: (block(p, x), None), x, params[0])[0]
        else:
            for p in params[0]:
                x = block(p, x)
        return _norm(x, params[1])

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Any, state: Any, x: jax.Array, y: jax.Array) -> Any:
        grads = jax.grad(lambda p: jnp.mean((predict(p, x) - y) ** 2))(params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    held = [params, jax.jit(optimizer.init)(params)]

    def train(steps: int) -> None:
        for i in range(steps):
            rows = slice(i * BATCH, (i + 1) * BATCH)
            held[:] = step(*held, x[rows], y[rows])
        jax.block_until_ready(held)

    return train


if __name__ == "__main__":
    for results in run(depths=tuple(map(int, sys.argv[1:])) or DEPTHS):
        print(table(results), end="\n\n", flush=True)
