"""Time of one training step in `fit`: kgraph, Keras, and a hand-written loop over a jitted step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import by_hand, networks
from benchmarks.measure import Result, race

SIZES = {"tiny": (32, 200), "guide_mlp": (64, 100), "resnet": (64, 6), "ticket": (32, 20)}
"""Batch size and number of steps of one timed run."""


def run(rounds: int = 5, names: tuple[str, ...] = tuple(SIZES)) -> Iterator[list[Result]]:
    """Yields the results for each network; the hand-written loop is the baseline."""
    import keras

    import kgraph

    for name in names:
        batch, steps = SIZES[name]
        x, y = networks.data(name, batch * steps)
        contenders = {
            "by hand": _hand(name, x, y, batch, steps),
            "kgraph fit": _fit(networks.BUILDERS[name](kgraph), x, y, batch),
            "Keras fit": _fit(networks.BUILDERS[name](keras), x, y, batch),
        }
        for contender in contenders.values():
            contender()  # compiles
        yield race(f"step, {name}", contenders, steps, "step", rounds)


def _fit(model: Any, x: Any, y: Any, batch: int) -> Callable[[], object]:
    x, y = networks.for_fit(x), networks.for_fit(y)

    def fit() -> object:
        return model.fit(x, y, batch_size=batch, epochs=1, shuffle=False, verbose=0)

    return fit


def _hand(name: str, x: Any, y: Any, batch: int, steps: int) -> Callable[[], object]:
    import kgraph

    step, init = by_hand.make_step(name)
    weights = networks.BUILDERS[name](kgraph).get_weights()

    def loop() -> object:
        params = [jnp.asarray(w) for w in _in_hand_order(name, weights)]
        carry = (params, init(params), jax.random.key(0), jnp.zeros(()))
        for i in range(steps):
            rows = slice(i * batch, (i + 1) * batch)
            carry = step(
                carry, {k: v[rows] for k, v in x.items()}, {k: v[rows] for k, v in y.items()}
            )
        return jax.block_until_ready(carry)

    return loop


def _in_hand_order(name: str, weights: list[np.ndarray]) -> list[np.ndarray]:
    """Returns the weights in the order of `by_hand`."""
    if name != "ticket":
        return weights
    tables = [w for w in weights if w.shape == (10000, 64)]
    return tables + [w for w in weights if w.shape != (10000, 64)]
