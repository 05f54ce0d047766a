"""One piece of work at a time in the background, whose failure is never lost."""

from __future__ import annotations

import atexit
import contextlib
import sys
import threading
import weakref
from collections.abc import Callable

_all: weakref.WeakSet[Background] = weakref.WeakSet()


class Background:
    """Runs one function at a time in a thread of its own."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        _all.add(self)

    def start(self, work: Callable[[], None], name: str) -> None:
        """Starts the work. What was started before must have been waited for."""
        assert self._thread is None
        self._thread = threading.Thread(target=self._run, args=(work,), name=name)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the work is under way."""
        return self._thread is not None and self._thread.is_alive()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._error = error

    def wait(self) -> None:
        """Returns when the work is done; raises, once, what it raised."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error


def _finish_all() -> None:
    for background in list(_all):
        try:
            background.wait()
        except BaseException as error:
            with contextlib.suppress(Exception):  # stderr may be closed by now
                print(f"kgraph: {error}", file=sys.stderr)


# Rather not `atexit`: it comes after Python has closed its thread pools, and without those Orbax
# cannot finish what it is writing. The name is private, and the same since Python 3.9.
getattr(threading, "_register_atexit", atexit.register)(_finish_all)
