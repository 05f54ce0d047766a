"""Time to build large networks, and from nothing to the first prediction, each in a new process.

`python -m benchmarks.building keras resnet50` measures one contender once and prints JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.large_networks import BUILDERS, SIZE
from benchmarks.measure import Result, summarize

_CONTENDERS = {"Keras": "keras", "kgraph": "kgraph"}
_PARTS = {"build": "build", "first": "build and first prediction"}
_PATIENCE = 900


def measure(library: str, network: str) -> dict[str, float]:
    """Returns the seconds to build a network, and to its first prediction, after the import."""
    api = importlib.import_module(library)
    image = np.zeros((1, SIZE, SIZE, 3), np.float32)
    start = time.perf_counter()
    model = BUILDERS[network](api)
    built = time.perf_counter() - start
    found = model.predict(image, verbose=0)
    done = time.perf_counter() - start
    assert found.shape == (1, 1000)
    return {"build": built, "first": done, "layers": float(len(model.layers))}


def run(rounds: int = 5) -> Iterator[list[Result]]:
    """Yields, for each network, the times of kgraph and Keras, both from new processes."""
    for network in BUILDERS:
        times: dict[str, dict[str, list[float]]] = {
            part: {name: [] for name in _CONTENDERS} for part in _PARTS
        }
        for i in range(rounds):
            order = list(_CONTENDERS)[:: 1 if i % 2 == 0 else -1]
            for name in order:
                found = _in_new_process(_CONTENDERS[name], network)
                for part in _PARTS:
                    times[part][name].append(found[part])
        for part, title in _PARTS.items():
            yield summarize(f"{title}, {network}", times[part], "model")


def _in_new_process(library: str, network: str) -> dict[str, float]:
    """Runs `measure` in a process of its own, without a cache of compiled programs."""
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_ENABLE_COMPILATION_CACHE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.building", library, network],
        env=environment, capture_output=True, text=True, timeout=_PATIENCE, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{library} {network} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
