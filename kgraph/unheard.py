"""Says so where Ctrl-C cannot be heard: XLA compiles or runs one operation for the main thread.

Python's handlers run between two of its instructions. Where our code waits for XLA it does so in
another thread; operations on arrays that are called one by one (`layer(x)`, code of users) run in
JAX's own way. While XLA compiles for them, jaxlib 0.10 has the handlers run, so another Ctrl-C ends
it; 0.7 and 0.12 do not. The system writes signals to a socket even then: a thread reads there, and
if the handler does not answer in time, it says why.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading

PATIENCE = 2.0
"""Seconds after Ctrl-C, in which it should have been heard."""

_TOLD = "Ctrl-C waits for XLA, which cannot be stopped in the middle of an operation"
_ANSWER = b"\0"


class Listener:
    """A thread, of which each process that holds Ctrl-C has one, and the socket that it reads."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        threading.Thread(target=self._listen, name="listens-to-ctrl-c", daemon=True).start()

    def begin(self) -> bool:
        """Has signals written to the socket; returns False where somebody else reads them."""
        before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        if before != -1:
            signal.set_wakeup_fd(before)
        return before == -1

    def end(self) -> None:
        """Takes back what `begin` did."""
        signal.set_wakeup_fd(-1)

    def answer(self) -> None:
        """Is called by the handler: Ctrl-C has been heard."""
        with contextlib.suppress(BlockingIOError):  # more signals than anybody has read yet
            self._writer.send(_ANSWER)

    def _listen(self) -> None:
        while data := self._reader.recv(64):
            if signal.SIGINT not in data.rpartition(_ANSWER)[2]:
                continue
            self._reader.settimeout(PATIENCE)
            try:
                while _ANSWER not in self._reader.recv(64):
                    pass
            except TimeoutError:
                print(f"\n{_TOLD}", file=sys.stderr, flush=True)
            finally:
                self._reader.settimeout(None)


_listener: Listener | None = None


def listener() -> Listener:
    """Returns that of this process."""
    global _listener
    if _listener is None:
        _listener = Listener()
    return _listener


def _forget() -> None:
    global _listener
    _listener = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
