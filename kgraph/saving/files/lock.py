"""One writer for a folder, by a lock that the system takes back when its process dies."""

from __future__ import annotations

import errno
import json
import os
import platform
import secrets
import time
import weakref
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from kgraph.errors import StateError
from kgraph.saving.files.atomic import is_running
from kgraph.saving.files.file_error import shown
from kgraph.writing import naming

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

NAME = "writer.lock"
_TAKEN = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES)
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


@dataclass(frozen=True)
class Owner:
    """What a lock says about its holder; other processes of its job know it by the token."""

    pid: int
    host: str
    since: str
    token: str
    machine: str = ""

    @classmethod
    def new(cls, machine: str = "") -> Owner:
        """Returns this process, from now on."""
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        return cls(os.getpid(), platform.node(), since, secrets.token_hex(8), machine)

    def encode(self) -> str:
        return json.dumps({key: value for key, value in vars(self).items() if value})

    def __str__(self) -> str:
        itself = (self.pid, self.host) == (os.getpid(), platform.node())
        who = "this process" if itself else f"process {self.pid}"
        return f"{who} on {self.host}, since {self.since}"


def owner_in(text: str | bytes) -> Owner | None:
    """Returns who is named in a lock; None if nobody is, or not readably."""
    try:
        found = json.loads(text)
        rest = (str(found.get(name, "")) for name in ("host", "since", "token", "machine"))
        return Owner(int(found["pid"]), *rest)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def refusal(place: object, owner: Owner | None) -> StateError:
    """Returns the error for a place that another writer has."""
    itself = owner is not None and str(owner).startswith("this process")
    return StateError(
        f"The checkpoint {shown(str(place)[-90:])!r} is being written by another writer",
        received=shown(str(owner or "a process"), 160),
        hint="close() the other Checkpoint, or use another directory"
        if itself
        else "wait until it has ended, or use another directory",
    )


_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()


class FolderLock:
    """The right to write to a folder.

    Where the file system has no locks (some network file systems), the process that the lock file
    names is looked up instead: a dead one on this machine no longer counts. Two processes that
    start within the same millisecond could then both get in.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: IO[str] | None = None
        self._text = ""
        _held.add(self)

    @property
    def held(self) -> bool:
        return self._file is not None

    def __del__(self) -> None:
        self.release()

    def acquire(self) -> None:
        """Takes the lock.

        Raises:
            StateError: another writer has it; says who, where and since when.
            OSError: the folder cannot be written to.
        """
        if self._file is not None:
            return
        file = open(self.folder / NAME, "a+", encoding="utf-8")  # noqa: SIM115 - held open
        try:
            self._claim(file)
            if not _is_in_place(file, self.folder / NAME):  # removed while we opened it
                file.close()
                return self.acquire()
            self._text = Owner.new().encode()
            with naming(self.folder, len(self._text)):
                file.truncate(0)
                file.write(self._text)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            file.close()
            raise
        self._file = file

    def release(self) -> None:
        """Gives the lock back. The file stays: removing it could let two others in."""
        file, self._file = self._file, None
        if file is not None:
            try:  # without contextlib: at the program's end modules go before this object
                try:
                    file.truncate(0)
                finally:
                    file.close()
            except OSError:
                pass  # whatever it says: it is free

    @property
    def text(self) -> str:
        """What stands in the file while this process holds the lock."""
        assert self.held
        return self._text

    def is_seen(self, text: str, patience: float = 10.0) -> bool:
        """Tells whether this process sees the file of a lock that another one holds.

        Args:
            text: what stands in it.
            patience: seconds that a file system over a network may take to show it.
        """
        end = time.monotonic() + patience
        while True:
            try:
                if (self.folder / NAME).read_text(encoding="utf-8") == text:
                    return True
            except OSError:
                pass
            if time.monotonic() > end:
                return False
            time.sleep(0.1)

    def remove(self) -> None:
        """Deletes the lock file, before its holder takes the whole folder away."""
        assert self.held
        (self.folder / NAME).unlink(missing_ok=True)

    def _claim(self, file: IO[str]) -> None:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
        except OSError as error:
            if error.errno in _TAKEN:
                raise refusal(self.folder, _owner(file)) from None
            if error.errno not in _UNSUPPORTED:
                text = f"The lock cannot be taken: {error.strerror}"
                raise OSError(error.errno, text, str(self.folder / NAME)) from error
        owner = _owner(file)
        if owner and (owner.host != platform.node() or is_running(owner.pid)):
            raise refusal(self.folder, owner)


def _is_in_place(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _owner(file: IO[str]) -> Owner | None:
    file.seek(0)
    return owner_in(file.read(4096))


def _forget_in_child() -> None:
    """Closes what a forked child inherited, or the lock would outlive the process that took it."""
    for lock in list(_held):
        file, lock._file = lock._file, None
        if file is not None:
            file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
