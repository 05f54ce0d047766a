"""evaluate and predict over 60,000 images, and what a call of `fit` costs beside its steps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks import networks
from benchmarks.measure import Result, race

ROWS = 60_000


def run(rounds: int = 5) -> Iterator[list[Result]]:
    """Yields results for `predict`, `evaluate`, and a `fit` of 10 steps; Keras is the baseline."""
    import keras

    import kgraph

    x, y = networks.data("guide_mlp", ROWS)
    for method in ("predict", "evaluate"):
        contenders: dict[str, Callable[[], object]] = {}
        for name, api in (("Keras", keras), ("kgraph", kgraph)):
            model = networks.guide_mlp(api)
            given = (x["x"],) if method == "predict" else (x["x"], y["y"])
            contenders[name] = _call(model, method, given)
            contenders[name]()  # compiles
        yield race(f"{method} 60,000 rows", contenders, 1, "call", rounds)
    yield race("fit, 10 steps, tiny", _small_fits(keras, kgraph), 1, "call", rounds)


def _call(model: Any, method: str, given: tuple[np.ndarray, ...]) -> Callable[[], object]:
    return functools.partial(getattr(model, method), *given, verbose=0)


def _small_fits(keras: Any, kgraph: Any) -> dict[str, Callable[[], object]]:
    x, y = networks.data("tiny", 320)
    found: dict[str, Callable[[], object]] = {}
    for name, api in (("Keras", keras), ("kgraph", kgraph)):
        model = networks.tiny(api)
        found[name] = functools.partial(model.fit, x["x"], y["y"], epochs=1, verbose=0)
        found[name]()
    return found
