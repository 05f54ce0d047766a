"""CPU time of a fresh process that imports kgraph, against one that imports jax alone.

Names of kgraph are imported when they are first asked for, so there is a row for what a first
script asks for as well.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from benchmarks.measure import Result, summarize

_NAMES = "from kgraph import Input, Model, layers; layers.Dense"


def run(rounds: int = 5) -> Iterator[list[Result]]:
    """Yields the CPU times; `import jax` is the baseline."""
    codes = ("import jax", "import kgraph", f"import jax; {_NAMES}", "import keras")
    times: dict[str, list[float]] = {code: [] for code in codes}
    for code in codes:  # not counted: compiles to bytecode, which an installed package has
        _cpu_seconds(code)
    for _ in range(rounds):
        for code in codes:
            times[code].append(_cpu_seconds(code))
    yield summarize("import", times, "process")


def _cpu_seconds(code: str) -> float:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": "jax"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code], environment)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"{code!r} failed")
    return usage.ru_utime + usage.ru_stime
