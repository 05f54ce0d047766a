"""What it costs two processes to train together: to agree after each block, and to save."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.measure import Result, summarize

_WORDS, _STEPS = 20_000, 200
_SHAPE, _ARRAYS = (1280, 1024), 20  # 105 MB of float32


def run(rounds: int = 5) -> Iterator[list[Result]]:
    """Yields the cost of agreeing by itself, of a step with it and without, and of a save."""
    with tempfile.TemporaryDirectory() as folder:
        found = _measured(rounds, folder)
    yield summarize("two processes, agree", {"after a block": found["word"]}, "block")
    yield summarize("two processes, fit", found["steps"], "step")
    yield summarize("two processes, save 105 MB", found["saves"], "save")


def _measured(rounds: int, folder: str) -> dict[str, Any]:
    """Returns what the first of two processes has measured."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ, "JAX_PLATFORMS": "cpu", "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "NPROC": "16",
    }  # fmt: skip
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.processes", address, str(n), str(rounds), folder],
            stdout=subprocess.PIPE, text=True, env=environment,
        )
        for n in range(2)
    ]  # fmt: skip
    try:
        said = [child.communicate(timeout=600)[0] for child in children]
    finally:
        for child in children:
            child.kill()
    return json.loads(said[0].splitlines()[-1])


# --- in each process -----------------------------------------------------------------------------


def _words() -> float:
    """Returns the seconds of one `after_block` in which nobody wants anything."""
    from kgraph.distribution.together import current_call, together
    from kgraph.training.agreement import Agreement, Wish

    with together("the benchmark"):
        call = current_call()
        assert call is not None
        agreement = Agreement(call)
        start = time.perf_counter()
        for _ in range(_WORDS):
            agreement.after_block(Wish.GO_ON)
        return (time.perf_counter() - start) / _WORDS


@contextlib.contextmanager
def _without_agreement() -> Iterator[None]:
    from kgraph.training import loop
    from kgraph.training.agreement import Alone

    usual: Any = loop.Agreement
    loop.Agreement = lambda call: Alone()  # type: ignore[assignment]
    try:
        yield
    finally:
        loop.Agreement = usual


def _steps(rounds: int) -> dict[str, list[float]]:
    """Returns seconds of a step, each handed over by itself, with agreement and without."""
    import numpy as np

    import kgraph
    from kgraph import layers

    inputs = kgraph.Input((256,))
    model = kgraph.Model(inputs, layers.Dense(1)(layers.Dense(1024, "relu")(inputs)))
    spread = kgraph.distribution.DataParallel()
    model.compile("sgd", "mse", distribution=spread, steps_per_execution=1)
    batch = np.ones((256, 256), "float32"), np.ones((256, 1), "float32")

    def seconds() -> float:
        start = time.perf_counter()
        model.fit([batch] * _STEPS, verbose=0)
        return (time.perf_counter() - start) / _STEPS

    seconds()
    found: dict[str, list[float]] = {"without agreement": [], "with agreement": []}
    for _ in range(rounds):
        with _without_agreement():
            found["without agreement"].append(seconds())
        found["with agreement"].append(seconds())
    return found


def _saves(rounds: int, folder: str) -> dict[str, list[float]]:
    """Returns seconds until `save` returns, and until the step is on the disk."""
    import jax
    import numpy as np

    import kgraph
    from kgraph.distribution.layout import put

    mesh = kgraph.distribution.DeviceMesh((8,), ("rows",))
    where = kgraph.distribution.TensorLayout(("rows", None), mesh).backend_layout
    host = np.random.default_rng(0).standard_normal(_SHAPE).astype(np.float32)
    arrays: dict[str, jax.Array] = {f"w{n}": put(host, where) for n in range(_ARRAYS)}
    found: dict[str, list[float]] = {"until it is on the disk": [], "until training goes on": []}
    with kgraph.Checkpoint(folder, keep=1) as checkpoint:
        for step in range(1, rounds + 2):
            start = time.perf_counter()
            checkpoint.save(step, arrays, {})
            returned = time.perf_counter() - start
            checkpoint.wait()
            if step > 1:  # the first is for imports and fresh memory
                found["until training goes on"].append(returned)
                found["until it is on the disk"].append(time.perf_counter() - start)
    return found


def main() -> None:
    address, number, rounds, folder = sys.argv[1:]
    from kgraph import distribution

    distribution.initialize(address, 2, int(number))
    count = int(rounds)
    words = [_words() for _ in range(count)]
    found = {"word": words, "steps": _steps(count), "saves": _saves(count, folder)}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
