"""Calls that all processes of a job make together: the failure of one ends the call in all.

A process that raises leaves a note at the coordination service. A thread in each of the others
looks for it twice a second, and whatever waits for other processes raises it (`raise_failed`).
Where Python cannot get at a wait, inside XLA, the thread ends the process. A process that is killed
leaves no note: JAX misses its heartbeats, and ends the others with a message that has its number.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

import jax

from kgraph.distribution import coordination
from kgraph.distribution.coordination import TURN_SECONDS, leave_note, look_for
from kgraph.errors import DataError, KGraphError, ProcessError
from kgraph.types import Tree

PATIENCE = 30.0
"""So long may a process take to end its call after another one has failed; then it is ended."""

_LEAVING = 10.0
"""So long does the first process wait at its end for the others, which meet by it."""


class Call:
    """A call that all processes make together, and its thread, which listens for the others.

    Args:
        what: its name, for messages.

    Attributes:
        place: what its keys at the coordination service begin with.
        listener: called by the thread again and again, to listen for TURN_SECONDS; None if nobody
            wants to hear more than failures.
    """

    listener: Callable[[], None] | None = None

    def __init__(self, what: str, number: int) -> None:
        self.what, self.place = what, _place(number)
        self._over = threading.Event()
        self._passes = self._steps = 0
        self._thread = threading.Thread(target=self._listen, name="kgraph-processes", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Ends the thread."""
        self._over.set()
        self._thread.join()

    def tell(self, error: BaseException) -> None:
        """Leaves a note for the others of why this process ends its call."""
        first = error.what if isinstance(error, KGraphError) else str(error).strip()
        _tell(self.place, f"{type(error).__name__}: {first}".partition("\n")[0][:300])

    # --- data ------------------------------------------------------------------------------------

    def begin_data(self) -> None:
        """Comes before the batches of one pass over data that processes read each by itself."""
        self._passes += 1
        self._steps = 0

    def took_batch(self) -> None:
        """Comes before each of them goes to the devices, which wait for those of the others."""
        self._steps += 1

    def end_data(self) -> None:
        """Comes after the last.

        Raises:
            DataError: another process had more, or fewer.
        """
        leave_note(f"{self.place}/data {self._passes}", f"{jax.process_index()} {self._steps}")
        counts = coordination.gather_numbers(f"the end of the data of {self.what}", self._steps)
        if len(set(counts)) > 1:
            raise _uneven(counts.index(min(counts)), min(counts))

    def _check_data(self) -> None:
        """Raises DataError if the devices wait for a batch that does not come."""
        note = look_for(f"{self.place}/data {self._passes}")
        if note is not None:
            index, steps = map(int, note.split())
            if steps < self._steps:
                raise _uneven(index, steps)

    # --- the thread ------------------------------------------------------------------------------

    def _listen(self) -> None:
        try:
            while not self._over.is_set():
                note = look_for(f"{self.place}/failed")
                if note is not None:
                    self._hear(*json.loads(note))
                if self._passes:
                    self._check_data()
                if self.listener is None:
                    self._over.wait(TURN_SECONDS)
                else:
                    self.listener()
        except KGraphError as error:
            coordination.fail(error)
            if not self._over.wait(PATIENCE):
                print(f"{error}\nThis process stands still, and is ended.", file=sys.stderr)
                _leave_now()

    def _hear(self, index: int, where: str, text: str) -> None:
        if index != jax.process_index():
            raise ProcessError(
                f"Process {index} has failed in {self.what}, and this one needs it",
                at=where, received=text, hint="its log has the traceback",
            )  # fmt: skip


def _uneven(index: int, steps: int) -> DataError:
    return DataError(
        f"The data of process {index} ended after {steps} batches, and others have more",
        hint=["give all processes equally many batches, or fit(steps_per_epoch=...);",
              "grain.sharding.ShardByJaxProcess(drop_remainder=True) cuts equal parts"],
    )  # fmt: skip


def _place(number: int) -> str:
    return f"kgraph/call/{number}"


def _tell(place: str, text: str) -> None:
    """Leaves a note for the others in a call that this process will not end as they do."""
    where = f"{socket.gethostname()}, process id {os.getpid()}"
    leave_note(f"{place}/failed", json.dumps([jax.process_index(), where, text]))


# --- this process' calls -------------------------------------------------------------------------

_calls: list[Call] = []
_numbers = itertools.count(1)


def current_call() -> Call | None:
    """Returns the call that this process makes with others; None outside, and for one process."""
    return _calls[-1] if _calls else None


def wait_for_devices(tree: Tree) -> None:
    """Waits for arrays that processes compute together, and for no process that has failed."""
    pause = 5e-5
    for leaf in jax.tree.leaves(tree) if _calls else ():
        while not leaf.is_ready():
            coordination.raise_failed()
            time.sleep(pause)
            pause = min(2 * pause, 1e-3)


@contextlib.contextmanager
def together(what: str, *agreed: type[BaseException]) -> Iterator[None]:
    """Marks a call that all processes make, in the same order; one inside another is part of it.

    Args:
        what: its name, for messages.
        agreed: exceptions that all processes raise together, so that they are no failure.

    Raises:
        ProcessError: another process has failed in its call.
    """
    if _calls or not jax.distributed.is_initialized() or jax.process_count() == 1:
        yield
        return
    coordination.raise_failed()
    call = Call(what, next(_numbers))
    _calls.append(call)
    try:
        yield
    except (ProcessError, *agreed):
        raise
    except BaseException as error:
        if isinstance(error, jax.errors.JaxRuntimeError):  # perhaps because another one has failed
            time.sleep(2 * TURN_SECONDS)
            coordination.raise_failed()
        call.tell(error)
        error.add_note(f"(in process {jax.process_index()} of {jax.process_count()})")
        coordination.forget_failure()  # the others may well raise the same
        raise
    finally:
        _calls.clear()
        call.end()


def write_once(what: str, write: Callable[[], None]) -> None:
    """Has the first process write something, for which the others wait.

    Raises:
        ProcessError: it could not, in the other processes.
    """
    with together(what):
        if coordination.is_leader():
            write()
        coordination.gather(what, "")


def watch_the_end() -> None:
    """Comes when processes have been joined: none of them will end without the others hearing."""
    atexit.register(_end)


def _end() -> None:
    """Comes at the end of the program. If that is an error, the others are not waited for."""
    error = getattr(sys, "last_value", None)
    text = "its program has ended" if error is None else f"{type(error).__name__}: {error}"
    text = text.partition("\n")[0][:300]
    _tell(_place(next(_numbers)), text)
    if error is not None:
        where = f"process {jax.process_index()} of {jax.process_count()}"
        print(f"(in {where}; the others are told of {text})", file=sys.stderr)
    if coordination.has_failed() or error is not None:
        logging.shutdown()
        _leave_now()


def _leave_now() -> None:
    """Ends the process. The first one, by which the others hear why, waits until they have."""
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(Exception):
        leave_note(f"kgraph/leaving/{jax.process_index()}", "")
        end = time.monotonic() + _LEAVING
        while jax.process_index() == 0 and time.monotonic() < end:
            if len(coordination.notes_in("kgraph/leaving")) == jax.process_count():
                break
            time.sleep(0.05)
    os._exit(1)
