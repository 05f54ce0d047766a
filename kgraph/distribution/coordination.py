"""What the processes of a job tell each other on their hosts, by JAX's coordination service.

Nothing here runs on the devices, so it works while they are busy, and when one of the processes is
stuck or gone.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any

import jax
from jax._src import distributed  # the client has no public name; Orbax takes it from here as well

from kgraph.errors import ProcessError, StateError
from kgraph.interrupts import heard

TURN_SECONDS = 0.5
"""After so long a wait, a process looks whether another one has failed."""

_meetings = itertools.count()
_questions = itertools.count(1)
_failure: list[Exception] = []
"""What ends this process' waits for others."""


def is_leader() -> bool:
    """Tells whether this process is the one that writes what is written once."""
    return jax.process_count() == 1 or jax.process_index() == 0


def is_preempted() -> bool:
    """Tells whether the job is to end now. All processes ask equally often, and hear it together.

    JAX hears of SIGTERM, and of the notices of a cloud, in any of the processes.
    """
    manager = distributed.global_state.preemption_sync_manager
    return manager is not None and manager.reached_sync_point(next(_questions))


def hears_signals() -> bool:
    """Tells whether JAX handles SIGTERM: see `is_preempted`."""
    return distributed.global_state.preemption_sync_manager is not None


# --- keys ----------------------------------------------------------------------------------------


def _client() -> Any:
    client = distributed.global_state.client
    if client is None:
        raise StateError(
            "The processes of this job do not know each other",
            hint="call kgraph.distribution.initialize() first in each",
        )
    return client


def leave_note(key: str, text: str) -> None:
    """Sets a key, once: the first process to set it counts."""
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        _client().key_value_set(key, text)


def notes_in(place: str) -> list[str]:
    """Returns the texts of all keys that begin with a place."""
    return [text for _, text in _client().key_value_dir_get(place)]


def look_for(key: str, seconds: float = 0.0) -> str | None:
    """Returns what a key is set to, waiting for it so long; None if nobody has set it.

    Raises:
        ProcessError: the first process, by which the others meet, does not answer.
    """
    try:
        if seconds:
            with heard():
                return _client().blocking_key_value_get(key, int(1000 * seconds))
        return _client().key_value_try_get(key)
    except jax.errors.JaxRuntimeError as error:
        if "NOT_FOUND" in str(error) or "DEADLINE_EXCEEDED" in str(error):
            return None
        raise ProcessError(
            "Process 0, by which the processes of a job meet, does not answer",
            received=str(error).partition("\n")[0],
        ) from error


def wait_for(key: str) -> str:
    """Returns what a key is set to, once it is.

    Raises:
        ProcessError: another process has failed meanwhile.
    """
    while (found := look_for(key, TURN_SECONDS)) is None:
        raise_failed()
    return found


# --- meetings ------------------------------------------------------------------------------------


def gather(purpose: str, text: str) -> list[str]:
    """Returns the texts of all processes, in their order; they wait for each other.

    Raises:
        ProcessError: one of the others has failed, or is at another place of the program.
    """
    count, index = jax.process_count(), jax.process_index()
    if count == 1:
        return [text]
    number = next(_meetings)
    place, own = f"kgraph/meeting/{number}", json.dumps([purpose, text])
    if index:
        leave_note(f"{place}/{index}", own)
        said = json.loads(wait_for(f"{place}/all"))
    else:
        said = [own, *(wait_for(f"{place}/{i}") for i in range(1, count))]
        leave_note(f"{place}/all", json.dumps(said))
        if number:  # everybody has left the meeting before this one
            _client().key_value_delete(f"kgraph/meeting/{number - 1}/")
    found = [json.loads(one) for one in said]
    for other, (theirs, _) in enumerate(found):
        if theirs != purpose:
            raise ProcessError(
                "The processes of a job make the same calls in the same order",
                expected=f"process {other} at {purpose!r}, as process {index} is",
                received=repr(theirs),
            )
    return [told for _, told in found]


def gather_numbers(purpose: str, number: int) -> list[int]:
    """Returns the numbers of all processes, in their order; they wait for each other."""
    return [int(text) for text in gather(purpose, str(int(number)))]


# --- failures ------------------------------------------------------------------------------------


def fail(error: Exception) -> None:
    """Takes in that this process cannot go on: whatever waits for others raises the error."""
    _failure[:] = [error]


def forget_failure() -> None:
    """Takes in that what was told to `fail` has ended nothing here."""
    _failure.clear()


def has_failed() -> bool:
    """Tells whether `fail` has been told of an error."""
    return bool(_failure)


def raise_failed() -> None:
    """Raises what `fail` has been told of."""
    if _failure:
        raise _failure[0]
