"""CPU time of a fresh process that imports kgraph, against one that imports jax alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from benchmarks.measure import Result, summarize


def run(rounds: int = 5) -> Iterator[list[Result]]:
    """Yields the CPU times; `import jax` is the baseline."""
    names = ("jax", "kgraph", "keras")
    times: dict[str, list[float]] = {f"import {name}": [] for name in names}
    for _ in range(rounds):
        for name in names:
            times[f"import {name}"].append(_cpu_seconds(f"import {name}"))
    yield summarize("import", times, "process")


def _cpu_seconds(code: str) -> float:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": "jax"}
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code], environment)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"{code!r} failed")
    return usage.ru_utime + usage.ru_stime
