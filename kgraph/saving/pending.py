"""Saves that go on in the background, and how their failures reach somebody."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kgraph.saving.checkpoints.background import Background

_pending: dict[Path, PendingSave] = {}
_guard = threading.Lock()


class PendingSave:
    """A save that may still be under way: `model.save(path, wait=False)` returns one.

    The model may be changed, trained and saved elsewhere meanwhile. A failure is raised by `wait`,
    or else by the next save to the path or load from it; if there is none, the program prints it
    when it ends, which waits for the save.

    Attributes:
        path: where to.
    """

    def __init__(self, path: Path, write: Callable[[], None]) -> None:
        self.path = path
        self._background = Background()
        self._background.start(write, f"save {path.name}")

    def __repr__(self) -> str:
        return f"<PendingSave {str(self.path)!r}, {'done' if self.done else 'under way'}>"

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return not self._background.running

    def wait(self) -> None:
        """Returns when the model is on the disk.

        Raises:
            OSError: it could not be written; what was there before is as it was. Raised once.
        """
        with _guard:
            if _pending.get(self.path) is self:
                del _pending[self.path]
        self._background.wait()


def start_save(path: Path, write: Callable[[], None]) -> PendingSave:
    """Starts a save. `settle` has been called for its path."""
    save = PendingSave(path, write)
    with _guard:
        _pending[path] = save
    return save


def settle(path: Any) -> None:
    """Waits for the save to a path that is under way, if one is.

    Raises:
        OSError: it failed.
    """
    with _guard:
        if not _pending:
            return
        save = _pending.get(Path(os.path.realpath(os.fspath(path))))
    if save is not None:
        save.wait()
