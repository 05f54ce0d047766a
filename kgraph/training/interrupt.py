"""SIGTERM during training: a training that is saved ends where it can be saved."""

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


class Guard:
    """Defers SIGTERM until a training is saved.

    It is left alone, unless `defer` asks for it; and always where JAX handles it for all processes
    of a job. Ctrl-C is the matter of `kgraph/interrupts.py`: a training is `held`.

    Attributes:
        decides: whether this process may end its training by itself, without others.
    """

    def __init__(self) -> None:
        self.decides = True
        self._terminated = self._has_taken_over = False

    @contextlib.contextmanager
    def installed(self) -> Iterator[Guard]:
        """Gives SIGTERM back at the end of the block.

        Raises Preempted if it has come after the last `check`.
        """
        self._terminated = False
        try:
            yield self
        except Preempted:
            self._terminated = False
            raise
        finally:
            if self._has_taken_over:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                self._has_taken_over = False
        self.check()

    def defer(self) -> None:
        """From now on, until `installed` ends, SIGTERM waits for `check`."""
        if hears_signals() or threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # else it is somebody else's
            self._has_taken_over = True
            signal.signal(signal.SIGTERM, self._terminate)

    @property
    def terminated(self) -> bool:
        """Whether SIGTERM has come."""
        return self._terminated

    def check(self) -> None:
        """Raises Preempted if SIGTERM has come. For places where a training can be saved."""
        if self._terminated and self.decides:
            self._terminated = False
            raise Preempted

    def _terminate(self, signum: int, frame: Any) -> None:
        self._terminated = True
