"""What a load must not do: touch files, import, run text, or change the process."""

from __future__ import annotations

import inspect
import os
import random
import resource
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from kgraph import config, custom_objects, lazy, option_types, registry

FORBIDDEN = (
    "exec", "compile", "import", "marshal.", "pickle.", "socket.", "subprocess.", "os.system",
    "os.exec", "os.mkdir", "os.rename", "os.remove", "os.link", "os.symlink", "os.putenv",
    "ctypes.", "shutil.", "tempfile.", "open",
)  # fmt: skip

_events: list[tuple[str, str]] | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _events is None or not event.startswith(FORBIDDEN):
        return
    if event != "open" or not str(arguments[0]).endswith(".py"):  # lines for a traceback are read
        _events.append((event, str(arguments[:1])[:200]))


sys.addaudithook(_hook)


def warm() -> None:
    """Imports what kgraph imports when a name is first asked for."""
    kinds = {kind for package in lazy.packages for kind in package.kinds}
    for kind in kinds | {"layer", "optimizer", "loss", "metric"}:  # asked for or not so far
        registry.registered_names(kind)
    for thing in set(registry._own.values()):
        if inspect.isclass(thing):  # our own annotations are texts, which are read once
            option_types.check_option_types(thing, {})


@contextmanager
def watched() -> Iterator[list[tuple[str, str]]]:
    """Collects the events of the interpreter that are not to happen, `open` among them."""
    global _events
    found: list[tuple[str, str]] = []
    _events = found
    try:
        yield found
    finally:
        _events = None


class Calls:
    """Counts calls of functions within a block: what takes long, by no clock.

    Attributes:
        count: how many there have been.
    """

    count = 0

    def __enter__(self) -> Calls:
        self._before = sys.getprofile()
        sys.setprofile(self._see)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(self._before)

    def _see(self, *about: object) -> None:
        self.count += 1


def state() -> dict[str, Any]:
    """Returns what a load must leave as it was."""
    return {
        "random": hash(random.getstate()),
        "numpy": hash(np.random.get_state()[1].tobytes()),
        "jax": hash(str(sorted(jax.config.values.items(), key=str))),
        "cwd": os.getcwd(),
        "environment": hash(tuple(sorted(os.environ.items()))),
        "path": list(sys.path),
        "modules": len(sys.modules),
        "recursion": sys.getrecursionlimit(),
        "filters": list(warnings.filters),
        "own": len(registry._own),
        "users": dict(custom_objects._users),
        "scopes": custom_objects._scoped.get(),
        "settings": dict(vars(config._settings)),
    }


def peak_memory() -> int:
    """Returns the most memory that the process has had, in bytes.

    Not `ru_maxrss`, which begins with what the parent of the process had.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return 1024 * int(status.read_text().partition("VmHWM:")[2].split()[0])
