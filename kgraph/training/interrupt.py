"""Ctrl-C during training: never between a step and the moment its result is kept."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Guard:
    """Defers KeyboardInterrupt while a step runs.

    A step is given the old arrays to reuse (donation), so an interrupt after it has started and
    before the new ones are kept would leave a model with no arrays at all. Outside `commit`, an
    interrupt arrives at once.
    """

    def __init__(self) -> None:
        self._busy = False
        self._pending = False

    @contextlib.contextmanager
    def installed(self) -> Iterator[Guard]:
        """Handles SIGINT by this guard within the block; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        previous = signal.getsignal(signal.SIGINT)
        if previous is not signal.default_int_handler:  # somebody else's; it is theirs to handle
            yield self
            return
        self._pending = False
        signal.signal(signal.SIGINT, self._handle)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, previous)

    def _handle(self, signum: int, frame: Any) -> None:
        # Remembered even if it is raised at once: an exception that a handler raises inside a
        # finalizer is swallowed by Python, and the next step then raises it again.
        self._pending = True
        if not self._busy:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def commit(self) -> Iterator[None]:
        """Marks a block that an interrupt must not split."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt
