"""Pace: how many steps to hand to the device at once."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from kgraph.distribution.together import wait_for_devices
from kgraph.interrupts import heard

BLOCK_SECONDS = 0.075
"""What a block of steps should take: long enough to hide its dispatch, short for Ctrl-C."""

GROWTH = 8
"""How many times larger than the last a block may be: a first measurement may be far off."""

IN_FLIGHT = 2
"""How many blocks may be handed over and not finished: one runs, one waits."""

SHORT_IN_FLIGHT = 16
"""How many steps of a stream may be, where they are short: waiting for each costs more than it."""


class Pace:
    """Chooses the size of the next block from the measured time of a step.

    The size changes when work is handed over and never what it computes.

    Args:
        fixed: a size to keep to (`steps_per_execution`); None measures.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self._fixed = fixed
        self._step_seconds: float | None = None
        self._largest = 1

    @property
    def is_known(self) -> bool:
        """Whether a size is known, so that nobody has to wait for the next block to measure it."""
        return self._fixed is not None or self._step_seconds is not None

    def next_size(self) -> int:
        """Returns how many steps the next block should have."""
        if self._fixed is not None:
            return self._fixed
        if self._step_seconds is None:
            return 1
        wanted = int(BLOCK_SECONDS / max(self._step_seconds, 1e-9))
        return max(1, min(wanted, GROWTH * self._largest))

    def in_flight(self) -> int:
        """Returns how many blocks of one step may wait: no more than a block's time of them."""
        if self._step_seconds is None:
            return IN_FLIGHT
        most = int(BLOCK_SECONDS / max(self._step_seconds, 1e-9))
        return max(IN_FLIGHT, min(most, SHORT_IN_FLIGHT))

    def note(self, steps: int, seconds: float) -> None:
        """Takes in that a block of `steps` steps took `seconds`."""
        if steps > 0:
            self._step_seconds = seconds / steps
            self._largest = max(self._largest, steps)

    def grow(self) -> None:
        """Takes in that the device was idle before the next block came."""
        if self._step_seconds is not None:
            self._step_seconds /= 2


class Throttle(threading.local):
    """Keeps the device busy with a block in reserve, and no more; measures how long blocks take.

    Threads that use it share the pace, and each has blocks of its own.

    Args:
        pace: told of the measurements.
    """

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._pending: deque[tuple[Any, int]] = deque()
        self._last_done = 0.0

    @property
    def waiting(self) -> int:
        """How many steps have been handed over and are not known to be done."""
        return sum(steps for _, steps in self._pending)

    def ready(self) -> None:
        """Comes before a block is handed over: waits if that block is the first to be measured."""
        if not self.pace.is_known:
            self.wait()

    def sent(self, ticket: object, steps: int, streams: bool = False) -> None:
        """Comes after: `ticket` is an array of the block's results that nobody gives away.

        Args:
            ticket: as above.
            steps: how many the block has.
            streams: whether blocks have one step each, whatever the pace would have.
        """
        known = self.pace.is_known
        self._pending.append((ticket, steps))
        most = self.pace.in_flight() if streams else IN_FLIGHT
        while len(self._pending) >= (most if known else 1):
            self._wait_for_oldest()

    def wait(self) -> None:
        """Waits for all that was handed over."""
        while self._pending:
            self._wait_for_oldest()
        self._last_done = time.perf_counter()

    def fetched(self) -> None:
        """Comes after a fetch of results, which has waited for everything before it."""
        self._pending.clear()
        self._last_done = time.perf_counter()

    def _wait_for_oldest(self) -> None:
        ticket, steps = self._pending.popleft()
        was_ready = self.pace.is_known and ticket.is_ready()
        with heard():
            wait_for_devices(ticket)
            ticket.block_until_ready()
        now = time.perf_counter()
        if was_ready:  # the device was idle, so this is not the time of the steps
            self.pace.grow()
        else:
            self.pace.note(steps, now - self._last_done)
        self._last_done = now
