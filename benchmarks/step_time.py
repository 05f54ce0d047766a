"""Time of one training step in `fit`: kgraph, Keras, flax.nnx, and plain JAX by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import by_hand, networks, with_nnx
from benchmarks.measure import Result, race

Size: TypeAlias = tuple[int, int, int]

SIZES: dict[str, Size] = {
    "tiny": (32, 500, 4),
    "guide_mlp": (64, 100, 5),
    "resnet": (64, 6, 1),
    "ticket": (32, 10, 2),
}
"""Batch size, steps of an epoch, and epochs of one timed run."""


def run(rounds: int = 5, names: tuple[str, ...] = tuple(SIZES)) -> Iterator[list[Result]]:
    """Yields the results for each network; a hand-written program is the baseline.

    It is a scan over the epoch, or where XLA is slow with that (convolutions on a CPU) a loop.
    """
    import keras

    import kgraph

    for name in names:
        size = SIZES[name]
        batch, steps, epochs = size
        x, y = networks.data(name, batch * steps)
        contenders: dict[str, Callable[[], object]] = {
            "scan by hand": _scan(name, x, y, size),
            "loop by hand": _loop(name, x, y, size),
            "kgraph fit": _fit(networks.BUILDERS[name](kgraph), x, y, size),
            "Keras fit": _fit(networks.BUILDERS[name](keras), x, y, size),
            "Keras fit, 32 steps per execution": _fit(_grouped(name, keras), x, y, size),
        }
        if name == "resnet":
            del contenders["scan by hand"]
        if name in with_nnx.STEPS:
            contenders["flax.nnx, nnx.jit"] = with_nnx.STEPS[name](x, y, size)
        for contender in contenders.values():
            contender()  # compiles
        yield race(f"step, {name}", contenders, steps * epochs, "step", rounds)


def _grouped(name: str, keras: Any) -> Any:
    model = networks.BUILDERS[name](keras)
    model.steps_per_execution = 32
    return model


def _fit(model: Any, x: Any, y: Any, size: Size) -> Callable[[], object]:
    batch, _, epochs = size
    x, y = networks.for_fit(x), networks.for_fit(y)

    def fit() -> object:
        return model.fit(x, y, batch_size=batch, epochs=epochs, shuffle=False, verbose=0)

    return fit


def _start(name: str, init: Callable[[Any], Any]) -> Callable[[], Any]:
    import kgraph

    weights = _in_hand_order(name, networks.BUILDERS[name](kgraph).get_weights())

    def start() -> Any:
        params = [jnp.array(w) for w in weights]
        return params, init(params), jax.random.key(0), jnp.zeros(())

    return start


def _loop(name: str, x: Any, y: Any, size: Size) -> Callable[[], object]:
    batch, steps, epochs = size
    step, init = by_hand.make_step(name)
    start = _start(name, init)

    def loop() -> object:
        carry = start()
        for i in [*range(steps)] * epochs:
            rows = slice(i * batch, (i + 1) * batch)
            carry = step(
                carry, {k: v[rows] for k, v in x.items()}, {k: v[rows] for k, v in y.items()}
            )
        return jax.block_until_ready(carry)

    return loop


def _scan(name: str, x: Any, y: Any, size: Size) -> Callable[[], object]:
    batch, steps, epochs = size
    epoch, init = by_hand.make_epoch(name)
    start = _start(name, init)

    def scan() -> object:
        def cut(a: np.ndarray) -> jax.Array:
            return jnp.array(a).reshape(steps, batch, *a.shape[1:])

        batches = {k: cut(v) for k, v in x.items()}, {k: cut(v) for k, v in y.items()}
        carry = start()
        for _ in range(epochs):
            carry = epoch(carry, batches)
        return jax.block_until_ready(carry)

    return scan


def _in_hand_order(name: str, weights: list[np.ndarray]) -> list[np.ndarray]:
    """Returns the weights in the order of `by_hand`."""
    if name != "ticket":
        return weights
    tables = [w for w in weights if w.shape == (10000, 64)]
    return tables + [w for w in weights if w.shape != (10000, 64)]
