"""Ctrl-C and SIGTERM during training: never between a step and the moment its result is kept."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from kgraph.distribution.coordination import hears_signals

EXIT_STATUS = 75
"""How a process ends that saved its training because of SIGTERM: "try again" (EX_TEMPFAIL)."""


class Preempted(SystemExit):
    """The training was saved and the process ends, to be started again by the same command.

    A training that is not saved ends with the status of a process that SIGTERM has ended.
    """

    def __init__(self, saved: bool = True) -> None:
        super().__init__(EXIT_STATUS if saved else 128 + signal.SIGTERM)


@contextlib.contextmanager
def arriving() -> Iterator[None]:
    """Lets Ctrl-C arrive as KeyboardInterrupt wherever in the block it comes.

    Of whatever is raised while JAX 0.12 compares the keys of its caches, it makes a ValueError that
    quotes it.
    """
    try:
        yield
    except ValueError as error:
        if "comparable using __eq__" in str(error) and "KeyboardInterrupt" in str(error):
            raise KeyboardInterrupt from error
        raise


class Guard:
    """Defers KeyboardInterrupt while a step is handed over, and SIGTERM until a training is saved.

    A step is given the old arrays to reuse (donation), so an interrupt after it has started and
    before the new ones are kept would leave a model with no arrays at all. Outside `commit`, an
    interrupt arrives at once. SIGTERM is left alone, unless `defer_termination` asks for it; and
    always where JAX handles it for all processes of a job.

    Attributes:
        decides: whether this process may end its training by itself, without others.
    """

    def __init__(self) -> None:
        self.decides = True
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
        except Preempted:
            self._terminated = False
            raise
        finally:
            for number, handler in self._restore.items():
                signal.signal(number, handler)
            self._restore.clear()
        self.check()

    def defer_termination(self) -> None:
        """From now on, until `installed` ends, SIGTERM waits for `check`."""
        if not hears_signals():
            self._take_over(signal.SIGTERM, signal.SIG_DFL, self._terminate)

    @property
    def terminated(self) -> bool:
        """Whether SIGTERM has come."""
        return self._terminated

    def check(self) -> None:
        """Raises Preempted if SIGTERM has come. For places where a training can be saved."""
        if self._terminated and self.decides:
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
