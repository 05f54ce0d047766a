"""One writer for a place in a bucket, by an object that its holder keeps writing anew.

A bucket gives nothing back when a process dies. So the holder writes the object again every few
seconds, on the condition that it is still its own. Who finds it watches it, by a clock of its own
(machines need not agree on the time): it is refused as soon as the object changes, and takes the
lock if it has not for a minute, or at once if the holder is known to be dead. A holder that comes
back after a longer sleep finds the object changed, and writes nothing more.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
import weakref
from pathlib import Path

from kgraph.errors import StateError
from kgraph.interrupts import heard
from kgraph.saving.files.atomic import is_running
from kgraph.saving.files.bucket import BucketPath
from kgraph.saving.files.lock import NAME, Owner, owner_in, refusal
from kgraph.source import warn

RENEWED, EXPIRED, TURN = 10.0, 60.0, 0.5
"""Seconds between renewals, until a lock that is not renewed is free, and between looks at it."""

_own: set[str] = set()
"""Tokens of the locks that this process holds."""


class BucketLock:
    """The right to write to a place in a bucket; what `FolderLock` is for a folder."""

    def __init__(self, place: BucketPath) -> None:
        self.place, self.object = place, place / NAME
        self._lease: Lease | None = None

    @property
    def held(self) -> bool:
        return self._lease is not None and self._lease.owner.pid == os.getpid()

    @property
    def text(self) -> str:
        """What other processes of the job know this lock by."""
        assert self._lease is not None
        return self._lease.owner.token

    def acquire(self) -> None:
        """Takes the lock; waits for as long as it is not known whether its holder lives.

        Raises:
            StateError: another writer has it; says who, where and since when.
            OSError: the bucket cannot be written to.
        """
        if self.held:
            return
        first, since = self.object.look(), time.monotonic()
        owner = owner_in(first[0]) if first else None
        if owner is not None and owner.token in _own:
            raise refusal(self.place, owner)
        if owner is not None and _may_live(owner):
            warn(
                f"The checkpoint {str(self.place)!r} is locked by {owner}. Unless that shows "
                f"within {EXPIRED:g} seconds that it is alive, its lock is taken from it"
            )
            while time.monotonic() - since < EXPIRED:
                with heard():
                    time.sleep(TURN)
                if self.object.look() != first:
                    if (living := self._owner()) is not None:
                        raise refusal(self.place, living)
                    return self.acquire()  # it has been given back
        lease = Lease(self.object)
        if not lease.take(first and first[1]):
            raise refusal(self.place, self._owner())
        self._lease = lease
        weakref.finalize(self, lease.end)

    def _owner(self) -> Owner | None:
        seen = self.object.look()
        return owner_in(seen[0]) if seen else None

    def confirm(self) -> None:
        """Makes sure that the lock is still held.

        Raises:
            StateError: another writer has taken it, while this process could not renew it.
            OSError: the bucket does not answer.
        """
        assert self._lease is not None
        owner = self._owner()
        if owner is None or owner.token != self._lease.owner.token:
            raise StateError(
                f"The lock of the checkpoint was not renewed in time, and taken by {owner}",
                hint="let one job write to a checkpoint",
            )

    def release(self) -> None:
        """Gives the lock back. The object stays, empty: see `StepBucket`."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.end()

    def is_seen(self, text: str) -> bool:
        """Tells whether this process sees the object of a lock that another one holds."""
        owner = self._owner()
        return owner is not None and owner.token == text

    def remove(self) -> None:
        """Deletes the object, before its holder takes everything away."""
        assert self._lease is not None
        self._lease.end(stays=False)


class Lease:
    """A lock while it is held. A thread renews it, until it ends or is lost.

    Args:
        place: the object.
    """

    def __init__(self, place: BucketPath) -> None:
        self.owner = Owner.new(_machine())
        self._object, self._generation = place, b""
        self._change, self._has_ended = threading.Lock(), threading.Event()

    def take(self, generation: bytes | None) -> bool:
        """Tells whether the lock is taken: whether nobody else was quicker."""
        taken = self._write(generation)
        if taken:
            _own.add(self.owner.token)
            threading.Thread(target=self._keep, name="kgraph lock", daemon=True).start()
        return taken

    def _write(self, generation: bytes | None) -> bool:
        self._generation = self._object.replace(self.owner.encode().encode(), generation) or b""
        return self._generation != b""

    def _keep(self) -> None:
        while not self._has_ended.wait(RENEWED):
            with self._change, contextlib.suppress(OSError):  # it is tried again
                if self._has_ended.is_set() or not self._write(self._generation):
                    return

    def end(self, stays: bool = True) -> None:
        """Gives the lock back. The object stays, empty, unless it is to go."""
        if self.owner.pid != os.getpid():  # forked
            return
        self._has_ended.set()
        _own.discard(self.owner.token)
        with self._change, contextlib.suppress(OSError):  # then it expires
            if self._generation:
                self._generation = self._object.replace(b"", self._generation) or b""
            if self._generation and not stays:
                self._object.unlink()
            self._generation = b""


def _may_live(owner: Owner) -> bool:
    """Tells whether a process that is not this one may be alive."""
    if owner.machine == "" or owner.machine != _machine():
        return True
    return owner.pid != os.getpid() and is_running(owner.pid)


@functools.cache
def _machine() -> str:
    """Returns what processes have in common that know each other by number; "" where unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
