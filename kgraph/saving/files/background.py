"""One piece of work at a time in the background, whose failure is never lost."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for

from kgraph.interrupts import held, wait_until

_all: weakref.WeakSet[Background] = weakref.WeakSet()
_unheard: list[Background] = []
"""Those that failed and have told nobody; they outlive whoever started them."""


class Background:
    """Runs one function at a time in a thread of its own.

    A failure is raised by `wait`. If its owner is gone before, `raise_abandoned` raises it. If
    nobody hears of it, the program logs it when it ends, and ends with status 1.

    Args:
        owner: whoever calls `wait`.
        place: what the work writes to.
    """

    def __init__(self, owner: object, place: object) -> None:
        self._owner, self._place = weakref.ref(owner), place
        self._future: Future[None] | None = None
        self._change = threading.Lock()
        self._is_busy = False
        self._last: list[Callable[[], None]] = []
        _all.add(self)

    def start(self, work: Callable[[], None], name: str) -> None:
        """Starts the work. What was started before must have been waited for."""
        assert self._future is None
        with held():  # or it would run unknown to us
            self._is_busy = True
            pool = ThreadPoolExecutor(1, thread_name_prefix=name)
            self._future = pool.submit(self._run, work)
            pool.shutdown(wait=False)  # the thread ends with its work

    @property
    def running(self) -> bool:
        """Whether the work is under way."""
        return self._future is not None and not self._future.done()

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody is left who would wait."""
        return self._owner() is None

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            del work  # other frames lead here
            _unheard.append(self)
            _drop_locals(error)
            raise
        finally:
            with self._change:
                self._is_busy, last, self._last = False, self._last, []
            for call in last:
                call()

    def when_done(self, call: Callable[[], None]) -> None:
        """Calls something when no work is under way: now, or in the thread at its end."""
        with self._change:
            if self._is_busy:
                self._last.append(call)
                return
        call()

    def wait(self) -> None:
        """Returns when the work is done; raises, once, what it raised.

        After Ctrl-C the work goes on, and may be waited for again.
        """
        self.finish()
        future, self._future = self._future, None
        if future is not None and (error := future.exception()) is not None:
            _unheard.remove(self)
            raise error

    def finish(self) -> None:
        """Returns when the work is done, well or not: `wait` still raises what it raised."""
        future = self._future
        if future is not None:
            wait_until(lambda seconds: not wait_for([future], seconds).not_done)

    def forget(self) -> None:
        """Leaves the work, and its failure, to the process that this one was forked from."""
        self._future = None


def raise_abandoned(place: object) -> None:
    """Raises what kept work at a place from being done, if its owner is gone."""
    for background in list(_unheard):
        if background._place == place and background.is_abandoned:
            background.wait()


def _drop_locals(error: BaseException) -> None:
    """Takes from the lines that an error came from what they had in hand.

    They would keep whole models alive, and their owners, which then seemed to be there still.
    """
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # but the caller's
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__


# --- the end of the program ----------------------------------------------------------------------


def _finish_all() -> None:
    for background in list(_all):
        background.finish()


def _report_unheard() -> None:
    """Logs the failures of which nobody has heard, and ends the program with status 1.

    Only `os._exit` gives an exit handler a say in the status. It comes last of the handlers that
    were registered after this module was imported; what is buffered has been written by then.
    """
    _finish_all()
    failed, _unheard[:] = list(_unheard), []
    for background in failed:
        error = background._future and background._future.exception()
        logging.getLogger("kgraph").error("kgraph: %s", error)
    if failed:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(1)


def _forget_all() -> None:
    for background in [*_all, *_unheard]:
        background.forget()
    _unheard.clear()


atexit.register(_report_unheard)
# Work has to end before Python closes its thread pools, without which Orbax cannot finish what it
# is writing; `atexit` comes later. The name is private, and the same since Python 3.9.
getattr(threading, "_register_atexit", atexit.register)(_finish_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
