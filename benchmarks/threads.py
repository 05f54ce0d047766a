"""Predictions from several threads at once, alone and while the model trains, beside jitted JAX."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks import networks
from benchmarks.measure import Result, race

COUNT = 400
"""Predictions of one run, over all threads."""

ROWS = 32


def run(rounds: int = 5) -> Iterator[list[Result]]:
    """Yields the time of a prediction; the same function under `jax.jit` is the baseline."""
    import kgraph

    words = np.random.default_rng(0).normal(size=(ROWS, 100, 32)).astype(np.float32)
    for threads in (1, 8):  # the device works for milliseconds, where a thread waits without Python
        title = f"{threads} threads, LSTM of 100 steps"
        yield race(title, _shared(_uses(_lstm(), words), threads), COUNT, "prediction", rounds)
    model = networks.guide_mlp(kgraph)
    x, y = networks.data("guide_mlp", ROWS * 64)
    uses = _uses(model, x["x"][:ROWS])
    for threads in (1, 2, 4, 8):
        yield race(f"{threads} threads", _shared(uses, threads), COUNT, "prediction", rounds)
    fit = functools.partial(model.fit, x["x"], y["y"], verbose=0)
    fit()
    with _meanwhile(lambda: fit(epochs=20)):
        for threads in (1, 2):
            title = f"{threads} threads while fit runs"
            yield race(title, _shared(uses, threads), COUNT, "prediction", rounds)
    fits: dict[str, Callable[[], object]] = {"fit alone": lambda: fit(epochs=20)}
    for name, use in uses.items():
        fits[f"fit beside {name}"] = functools.partial(_beside, lambda: fit(epochs=20), use)
    yield race("fit", fits, 20 * ROWS * 64 // 32, "step", rounds)


def _lstm() -> Any:
    import kgraph

    inputs = kgraph.Input((100, 32))
    return kgraph.Model(inputs, kgraph.layers.Dense(4)(kgraph.layers.LSTM(64)(inputs)))


def _uses(model: Any, batch: np.ndarray) -> dict[str, Callable[[], object]]:
    """Returns the ways to predict on a batch, each used once."""
    import jax

    import kgraph

    program = kgraph.lower(model, inference=True)
    variables = model.variables_for(program)
    function = jax.jit(lambda variables, inputs: program.apply(variables, inputs)[0])
    uses: dict[str, Callable[[], object]] = {
        "jitted JAX": lambda: np.asarray(function(variables, batch)),
        "predict": lambda: model.predict(batch, verbose=0),
        "model(x)": lambda: np.asarray(model(batch)),
    }
    for use in uses.values():
        use()
    return uses


def _shared(uses: dict[str, Callable[[], Any]], threads: int) -> dict[str, Callable[[], object]]:
    return {name: functools.partial(_in_threads, use, threads) for name, use in uses.items()}


def _in_threads(use: Callable[[], object], threads: int) -> None:
    """Makes `COUNT` uses, the same number in each of some threads."""

    def work() -> None:
        for _ in range(COUNT // threads):
            use()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


@contextlib.contextmanager
def _meanwhile(use: Callable[[], object]) -> Iterator[None]:
    """Repeats a use in another thread within the block."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            use()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()


def _beside(use: Callable[[], object], other: Callable[[], object]) -> None:
    with _meanwhile(other):
        use()
