"""The processes of one computation that save together: who writes what, and how they meet.

They meet in the folder that they save into, which all of them can see. The first process makes a
workshop there; each puts its part into it, and a note that it is complete; the first process puts
all in place, and takes the workshop away. So nothing runs on the devices while files are written.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from kgraph.saving.files.atomic import WORKSHOPS

PATIENCE = 600.0
"""For how many seconds a process waits for another one that shows no progress."""

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """One of `count` processes that save together; `token` is what only this save has."""

    index: int = 0
    count: int = 1
    token: str = ""

    def workshop(self, folder: Path) -> Path:
        """Returns where they meet, once the first process has made it."""
        return _wait(lambda: next(folder.glob(WORKSHOPS + self.token), None), "process 0")

    def report(self, aside: Path, note: object) -> None:
        """Says that this process has done its part, or (a text) why it could not."""
        new = aside / f"note-{self.index}.new"
        new.write_text(json.dumps(note))
        os.rename(new, aside / f"note-{self.index}")

    def notes(self, aside: Path) -> list[Any]:
        """Returns what the other processes have reported, in their order.

        Raises:
            OSError: one of them failed, or does not report.
        """
        found = [self._note(aside, i) for i in range(1, self.count)]
        for index, note in enumerate(found, 1):
            if isinstance(note, str):
                raise OSError(errno.EIO, f"process {index} could not write its part: {note}")
        return found

    def _note(self, aside: Path, index: int) -> Any:
        path = aside / f"note-{index}"
        _wait(lambda: path.exists() or None, f"process {index}")
        return json.loads(path.read_text())

    def until_gone(self, aside: Path) -> None:
        """Returns when the first process has put all in place, or has given up."""
        _wait(lambda: None if aside.exists() else True, "process 0")


def meet(ready: bool) -> Processes:
    """Returns this process among those that save; all call it at the same place of the program.

    Args:
        ready: whether this process, if it is the first one, can begin.

    Raises:
        OSError: the first process cannot.
    """
    count = jax.process_count()
    if count == 1:
        return Processes()
    from jax.experimental import multihost_utils

    mine = np.frombuffer(secrets.token_bytes(8), np.uint8).astype(np.int32)
    told = multihost_utils.broadcast_one_to_all(mine if ready else np.zeros(8, np.int32))
    token = bytes(np.asarray(told, np.uint8)).hex()
    if not int(token, 16):
        raise OSError(errno.EIO, "process 0 cannot write to the folder")
    return Processes(jax.process_index(), count, token)


def _wait(found: Callable[[], T | None], whom: str) -> T:
    end = time.monotonic() + PATIENCE
    while (result := found()) is None:
        if time.monotonic() > end:
            text = f"{whom} has not done its part within {PATIENCE:.0f} seconds"
            raise OSError(errno.EIO, text)
        time.sleep(0.01)
    return result
