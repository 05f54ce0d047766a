"""What checkpoints cost a training: how long `save` blocks it, and what verifying takes."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np

from benchmarks.measure import Result, race, summarize
from kgraph.saving.checkpoints import Checkpoint
from kgraph.saving.files.digests import array_digests

_ARRAYS, _SHAPE = 20, (1280, 1024)  # 105 MB of float32


def run(rounds: int = 5) -> Iterator[list[Result]]:
    """Yields how long saves block, how long reading takes, and how long digests take."""
    rng = np.random.default_rng(0)
    host = {f"w{i}": rng.standard_normal(_SHAPE).astype(np.float32) for i in range(_ARRAYS)}
    arrays = jax.tree.map(jax.device_put, host)
    with tempfile.TemporaryDirectory() as folder:
        yield _saves(Path(folder), arrays, rounds)
        yield _restores(Path(folder) / "waiting", arrays, rounds)
    parts = list(host.values())
    whole = np.concatenate(parts)
    contenders = {
        "SHA-256, all cores": lambda: array_digests(parts),
        "SHA-256, one array, all cores": lambda: array_digests([whole]),
        "SHA-256, one core": lambda: array_digests(parts, threads=1),
    }
    megabytes = sum(array.nbytes for array in parts) // 10**6
    yield race("digests", contenders, units=megabytes, unit="MB", rounds=rounds)


def _saves(folder: Path, arrays: dict[str, jax.Array], rounds: int) -> list[Result]:
    """Times `save` alone: a write in the background is waited for off the clock."""
    waiting = Checkpoint(folder / "waiting", keep=1, asynchronous=False)
    background = Checkpoint(folder / "background", keep=1)
    copies: dict[str, Callable[[int], object]] = {
        "save, waiting": lambda step: waiting.save(step, arrays, {}),
        "save, in the background": lambda step: background.save(step, arrays, {}),
        "a copy in memory": lambda step: [np.array(array) for array in arrays.values()],
    }
    times: dict[str, list[float]] = {name: [] for name in copies}
    steps = itertools.count(1)
    for _ in range(rounds + 1):  # the first round is for imports and fresh memory
        for name, save in copies.items():
            step, start = next(steps), time.perf_counter()
            save(step)
            times[name].append(time.perf_counter() - start)
            background.wait()
    waiting.close()
    background.close()
    return summarize("checkpoint 105 MB", {n: t[1:] for n, t in times.items()}, "save")


def _restores(folder: Path, arrays: dict[str, jax.Array], rounds: int) -> list[Result]:
    from orbax.checkpoint import v1 as orbax

    checkpoint = Checkpoint(folder)
    path = folder / f"step_{checkpoint.latest():09d}" / "arrays"
    contenders = {
        "Orbax alone, unverified": lambda: orbax.load(str(path)),
        "restore, verified": lambda: checkpoint.restore(template=arrays),
    }
    return race("restore 105 MB", contenders, unit="restore", rounds=rounds)
