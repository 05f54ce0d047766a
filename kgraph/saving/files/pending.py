"""Saves that go on in the background, and how their failures reach somebody."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

from kgraph.saving.files.background import Background
from kgraph.types import FilePath

_pending: dict[Path, PendingSave] = {}
_guard = threading.Lock()


class PendingSave:
    """A save that may still be under way: `model.save(path, wait=False)` returns one.

    The model may be changed, trained and saved elsewhere meanwhile. A failure is raised by `wait`,
    or else by the next save to the path, or load from it; once it has happened, also by the next
    `fit`, save or `load_weights` of the model. The end of the program waits for the save; a failure
    that nobody has heard of is then logged, and the exit status is 1.

    Attributes:
        path: where to.
    """

    def __init__(self, path: Path, write: Callable[[], None], model: object) -> None:
        self.path = path
        self._model = weakref.ref(model)
        self._background = Background(self, path)
        self._background.start(write, f"save {path.name}")

    def __repr__(self) -> str:
        return f"<PendingSave {str(self.path)!r}, {'done' if self.done else 'under way'}>"

    def is_of(self, model: object) -> bool:
        """Tells whether this model is being saved."""
        return self._model() is model

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return not self._background.running

    def wait(self) -> None:
        """Returns when the model is on the disk.

        Raises:
            OSError: it could not be written; what was there before is as it was. Raised once.
        """
        try:
            self._background.wait()
        finally:
            with _guard:
                if self.done and _pending.get(self.path) is self:
                    del _pending[self.path]


def start_save(path: Path, write: Callable[[], None], model: object) -> PendingSave:
    """Starts a save. `settle` has been called for its path."""
    save = PendingSave(path, write, model)
    with _guard:
        _pending[path] = save
    return save


def settle(path: FilePath, model: object = None) -> None:
    """Waits for the save to a path that is under way, if one is.

    Args:
        path: where something is to be saved or loaded.
        model: what is to be saved, or loaded into; see `raise_failed`.

    Raises:
        OSError: it failed; or an earlier save of the model did.
    """
    if not _pending:
        return
    with _guard:
        save = _pending.get(Path(os.path.realpath(os.fspath(path))))
    if save is not None:
        save.wait()
    raise_failed(model)


def raise_failed(model: object) -> None:
    """Raises what kept a save of this model from being done. Does not wait for any.

    Raises:
        OSError: one has failed of which nobody has heard.
    """
    if not _pending:
        return
    with _guard:
        ended = [save for save in _pending.values() if save.done and save.is_of(model)]
    for save in ended:
        save.wait()
