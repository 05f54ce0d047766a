"""What the processes of a training agree on: after which block they save, stop, or leave.

Such wishes are rare, so while there are none nothing is said: the devices add nothing up, the hosts
send nothing. A wish is left at the coordination service, where the thread of each process' call
listens for one. Each answers with the block at which its process will wait; the first process takes
the last of these blocks and the largest wish, and that happens in all of them after that block,
which they reach within one or two. A failure is no wish: see `kgraph/distribution/together.py`.
"""

from __future__ import annotations

import enum
import json
import threading
import time

import jax

from kgraph.distribution.coordination import (
    TURN_SECONDS,
    gather_numbers,
    is_preempted,
    leave_note,
    look_for,
    notes_in,
    raise_failed,
)
from kgraph.distribution.together import Call


class Wish(enum.IntEnum):
    """What a process wants after a block. A larger one has the smaller in it."""

    GO_ON = 0
    SAVE = 1
    STOP = 2
    LEAVE = 3


class Alone:
    """The agreement of a training in one process: what it wants, at once."""

    def after_block(self, wish: Wish) -> Wish:
        """Returns what happens after this block."""
        return Wish.LEAVE if is_preempted() else wish

    def after_epoch(self, wish: Wish) -> Wish:
        """Returns what happens after this epoch; what has come to its end need not leave."""
        return Wish.LEAVE if is_preempted() and wish is not Wish.STOP else wish


class Agreement(Alone):
    """The agreement of several processes.

    Args:
        call: what they do together.
    """

    def __init__(self, call: Call) -> None:
        self._call, self._lock = call, threading.Lock()
        self._done = self._number = 0
        self._wish = Wish.GO_ON
        self._asked = False
        self._limit: int | None = None
        self._decided: tuple[int, Wish] | None = None
        call.listener = self._listen

    def after_block(self, wish: Wish) -> Wish:
        if is_preempted():
            return Wish.LEAVE
        with self._lock:
            self._done += 1
            self._wish = wish
            waits = self._limit == self._done
        if wish and not self._asked:
            self._asked = True
            leave_note(self._key("wish"), "")
        while waits and self._decided is None:
            raise_failed()
            time.sleep(1e-3)
        if self._decided is None or self._decided[0] > self._done:
            return Wish.GO_ON
        with self._lock:
            granted = self._decided[1]
            self._decided = self._limit = None
            self._asked = False
            self._number += 1
        return granted

    def after_epoch(self, wish: Wish) -> Wish:
        wish = super().after_epoch(wish)
        return Wish(max(gather_numbers("the end of an epoch", wish)))

    # --- in the thread of the call ---------------------------------------------------------------

    def _key(self, name: str) -> str:
        return f"{self._call.place}/wish {self._number}/{name}"

    def _listen(self) -> None:
        """Waits a turn for the next step towards a decision, and takes it."""
        if self._decided is not None:  # and not yet carried out
            time.sleep(0.01)
        elif self._limit is None:
            if look_for(self._key("wish"), TURN_SECONDS) is not None:
                self._answer()
        else:
            if jax.process_index() == 0:
                self._decide()
            decided = look_for(self._key("decided"), 0.01)
            if decided is not None:
                block, wish = json.loads(decided)
                self._decided = block, Wish(wish)

    def _answer(self) -> None:
        with self._lock:
            self._limit = self._done + 1  # a block that may be on its way now is the last
            own = [self._limit, self._wish]
        leave_note(self._key(f"answer/{jax.process_index()}"), json.dumps(own))

    def _decide(self) -> None:
        answers = [json.loads(note) for note in notes_in(self._key("answer"))]
        if len(answers) == jax.process_count():
            leave_note(self._key("decided"), json.dumps([max(said) for said in zip(*answers)]))
