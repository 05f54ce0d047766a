"""Time of one training step in `fit`: kgraph, Keras, flax.nnx, and plain JAX by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import by_hand, networks, with_nnx
from benchmarks.measure import Result, race

SIZES = {"tiny": (32, 2000), "guide_mlp": (64, 400), "resnet": (64, 6), "ticket": (32, 20)}
"""Batch size and number of steps of one timed run."""


def run(rounds: int = 5, names: tuple[str, ...] = tuple(SIZES)) -> Iterator[list[Result]]:
    """Yields the results for each network; a hand-written program is the baseline.

    It is a scan over the epoch, or where XLA is slow with that (convolutions on a CPU) a loop.
    """
    import keras

    import kgraph

    for name in names:
        batch, steps = SIZES[name]
        x, y = networks.data(name, batch * steps)
        contenders: dict[str, Callable[[], object]] = {
            "scan by hand": _scan(name, x, y, batch, steps),
            "loop by hand": _loop(name, x, y, batch, steps),
            "kgraph fit": _fit(networks.BUILDERS[name](kgraph), x, y, batch),
            "Keras fit": _fit(networks.BUILDERS[name](keras), x, y, batch),
            "Keras fit, 32 steps per execution": _fit(_grouped(name, keras), x, y, batch),
        }
        if name == "resnet":
            del contenders["scan by hand"]
        if name in with_nnx.STEPS:
            contenders["flax.nnx, nnx.jit"] = with_nnx.STEPS[name](x, y, batch, steps)
        for contender in contenders.values():
            contender()  # compiles
        yield race(f"step, {name}", contenders, steps, "step", rounds)


def _grouped(name: str, keras: Any) -> Any:
    model = networks.BUILDERS[name](keras)
    model.steps_per_execution = 32
    return model


def _fit(model: Any, x: Any, y: Any, batch: int) -> Callable[[], object]:
    x, y = networks.for_fit(x), networks.for_fit(y)

    def fit() -> object:
        return model.fit(x, y, batch_size=batch, epochs=1, shuffle=False, verbose=0)

    return fit


def _start(name: str, init: Callable[[Any], Any]) -> Callable[[], Any]:
    import kgraph

    weights = _in_hand_order(name, networks.BUILDERS[name](kgraph).get_weights())

    def start() -> Any:
        params = [jnp.array(w) for w in weights]
        return params, init(params), jax.random.key(0), jnp.zeros(())

    return start


def _loop(name: str, x: Any, y: Any, batch: int, steps: int) -> Callable[[], object]:
    step, init = by_hand.make_step(name)
    start = _start(name, init)

    def loop() -> object:
        carry = start()
        for i in range(steps):
            rows = slice(i * batch, (i + 1) * batch)
            carry = step(
                carry, {k: v[rows] for k, v in x.items()}, {k: v[rows] for k, v in y.items()}
            )
        return jax.block_until_ready(carry)

    return loop


def _scan(name: str, x: Any, y: Any, batch: int, steps: int) -> Callable[[], object]:
    epoch, init = by_hand.make_epoch(name)
    start = _start(name, init)

    def scan() -> object:
        def cut(a: np.ndarray) -> jax.Array:
            return jnp.array(a).reshape(steps, batch, *a.shape[1:])

        batches = {k: cut(v) for k, v in x.items()}, {k: cut(v) for k, v in y.items()}
        return jax.block_until_ready(epoch(start(), batches))

    return scan


def _in_hand_order(name: str, weights: list[np.ndarray]) -> list[np.ndarray]:
    """Returns the weights in the order of `by_hand`."""
    if name != "ticket":
        return weights
    tables = [w for w in weights if w.shape == (10000, 64)]
    return tables + [w for w in weights if w.shape != (10000, 64)]
