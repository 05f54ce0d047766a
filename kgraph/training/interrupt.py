"""Ctrl-C and SIGTERM during training: never between a step and the moment its result is kept."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

EXIT_STATUS = 75
"""How a process ends that saved its training because of SIGTERM: "try again" (EX_TEMPFAIL)."""


class Preempted(SystemExit):
    """The training was saved and the process ends, to be started again by the same command."""

    def __init__(self) -> None:
        super().__init__(EXIT_STATUS)


class Guard:
    """Defers KeyboardInterrupt while a step is handed over, and SIGTERM until a training is saved.

    A step is given the old arrays to reuse (donation), so an interrupt after it has started and
    before the new ones are kept would leave a model with no arrays at all. Outside `commit`, an
    interrupt arrives at once. SIGTERM is left alone, unless `defer_termination` asks for it.
    """

    def __init__(self) -> None:
        self._busy = False
        self._pending = False
        self._terminated = False
        self._restore: dict[int, Any] = {}

    @contextlib.contextmanager
    def installed(self) -> Iterator[Guard]:
        """Handles SIGINT by this guard within the block; only the main thread can.

        Raises Preempted at the end if SIGTERM has come after the last `check`.
        """
        self._pending = self._terminated = False
        self._take_over(signal.SIGINT, signal.default_int_handler, self._interrupt)
        try:
            yield self
        finally:
            for number, handler in self._restore.items():
                signal.signal(number, handler)
            self._restore.clear()
        self.check()

    def defer_termination(self) -> None:
        """From now on, until `installed` ends, SIGTERM waits for `check`."""
        self._take_over(signal.SIGTERM, signal.SIG_DFL, self._terminate)

    def check(self) -> None:
        """Raises Preempted if SIGTERM has come. For places where a training can be saved."""
        if self._terminated:
            self._terminated = False
            raise Preempted

    def _take_over(self, number: int, default: Any, handler: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        previous = signal.getsignal(number)
        if previous is default:  # else somebody else's; it is theirs to handle
            self._restore[number] = previous
            signal.signal(number, handler)

    def _terminate(self, signum: int, frame: Any) -> None:
        self._terminated = True

    def _interrupt(self, signum: int, frame: Any) -> None:
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
