"""Time to build and lower a graph, by its number of layers; and to the first trained step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import networks
from benchmarks.measure import Result, race, summarize


def chains(rounds: int = 5) -> Iterator[list[Result]]:
    """Yields the time for each layer of a chain: equal for all lengths if building is linear."""
    import kgraph

    def build(length: int) -> Callable[[], Any]:
        def chain() -> Any:
            inputs = kgraph.Input((4,))
            x = inputs
            for _ in range(length):
                x = kgraph.layers.Dense(4)(x)
            return kgraph.lower(kgraph.Model(inputs, x))

        return chain

    lengths = (100, 1000, 10000)
    times: dict[str, list[float]] = {f"{length} layers": [] for length in lengths}
    for _ in range(rounds):
        for length in lengths:
            start = time.perf_counter()
            build(length)()
            times[f"{length} layers"].append((time.perf_counter() - start) / length)
    yield summarize("build and lower a chain", times, "layer")


def graphs(rounds: int = 5) -> Iterator[list[Result]]:
    """Yields the time to build the toy ResNet (without weights in kgraph, with them in Keras)."""
    import keras

    import kgraph

    yield race(
        "build, resnet",
        {"Keras": lambda: networks.resnet(keras), "kgraph": lambda: networks.resnet(kgraph)},
        rounds=rounds,
    )


def first_step(rounds: int = 5) -> Iterator[list[Result]]:
    """Yields the time from nothing to one finished training step, compiled anew each time."""
    import keras

    import kgraph

    for name in ("guide_mlp", "resnet"):
        x, y = map(networks.for_fit, networks.data(name, 64))

        def start(api: Any, name: str = name, x: Any = x, y: Any = y) -> Callable[[], object]:
            def from_nothing() -> object:
                model = networks.BUILDERS[name](api)
                return model.fit(x, y, batch_size=64, epochs=1, verbose=0)

            return from_nothing

        contenders = {"Keras": start(keras), "kgraph": start(kgraph)}
        yield race(f"first step, {name}", contenders, rounds=rounds)
