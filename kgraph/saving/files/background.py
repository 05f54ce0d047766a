"""One piece of work at a time in the background, whose failure is never lost."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path

_all: weakref.WeakSet[Background] = weakref.WeakSet()
_unheard: list[Background] = []
"""Those that failed and have told nobody; they outlive whoever started them."""


class Background:
    """Runs one function at a time in a thread of its own.

    A failure is raised by `wait`. If its owner is gone before, `raise_abandoned` raises it. If
    nobody hears of it, the program prints it when it ends, and ends with status 120.

    Args:
        owner: whoever calls `wait`.
        place: what the work writes to.
    """

    def __init__(self, owner: object, place: Path) -> None:
        self._owner, self._place = weakref.ref(owner), place
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

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody is left who would wait."""
        return self._owner() is None

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            del work  # other frames lead here
            self._error = _without_locals(error)
            _unheard.append(self)

    def wait(self) -> None:
        """Returns when the work is done; raises, once, what it raised."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            _unheard.remove(self)
            raise error

    def forget(self) -> None:
        """Leaves the work, and its failure, to the process that this one was forked from."""
        self._thread = self._error = None


def raise_abandoned(place: Path) -> None:
    """Raises what kept work at a place from being done, if its owner is gone."""
    for background in list(_unheard):
        if background._place == place and background.is_abandoned:
            background.wait()


def _without_locals(error: BaseException) -> BaseException:
    """Returns the error with the lines that it came from, but not with what they had in hand.

    They would keep whole models alive, and their owners, which then seemed to be there still.
    """
    error = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__
    return error


# --- the end of the program ----------------------------------------------------------------------


def _fail_at_last() -> None:
    """Makes the last flush of the standard error stream, which the interpreter makes, fail.

    That is how a program says after its end that not all of what it wrote has arrived: Python then
    makes the exit status 120, whatever it was. An exit handler cannot change the status otherwise,
    but by ending the process before the handlers of others have had their turn. (Children made by
    `multiprocessing` end otherwise: there a failure is only printed.)
    """
    if sys.stderr is None:
        sys.stderr = io.StringIO()
    flush = sys.stderr.flush

    def flush_or_fail() -> None:
        flush()
        if sys._getframe().f_back is None:  # not called from Python, but by the interpreter
            raise OSError("a save in the background has failed")

    sys.stderr.flush = flush_or_fail  # type: ignore[method-assign]


def _finish_all() -> None:
    failed = False
    for background in [*_all, *_unheard]:
        try:
            background.wait()
        except BaseException as error:
            failed = True
            with contextlib.suppress(Exception):  # stderr may be closed by now
                print(f"kgraph: {error}", file=sys.stderr)
    if failed:
        _fail_at_last()


def _forget_all() -> None:
    for background in [*_all, *_unheard]:
        background.forget()
    _unheard.clear()


# Rather not `atexit`: it comes after Python has closed its thread pools, and without those Orbax
# cannot finish what it is writing. The name is private, and the same since Python 3.9.
getattr(threading, "_register_atexit", atexit.register)(_finish_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
