"""Writing a file so that the old one or the new one is there, whole, at every moment."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kgraph.errors import KGraphError
from kgraph.writing import DRAFT, naming

WORKSHOPS = f"{DRAFT}*"
_WORKSHOP = re.compile(r"\.kgraph-saving-([0-9a-f]{8})-(\d+)-\w+")

_in_use: set[str] = set()


@contextlib.contextmanager
def workshop(target: Path, token: str = "") -> Iterator[Path]:
    """Makes a private folder beside the target, and takes it away again whatever happens.

    Beside it, because a rename is atomic only within one file system. Folders that a killed process
    of this machine left behind are taken away first. `token` ends its name, if there is one.
    """
    _sweep(target.parent)
    name = f"{DRAFT}{_host()}-{os.getpid()}-{token or secrets.token_hex(4)}"
    folder = target.parent / name
    _in_use.add(name)  # before it exists, so that no other thread sweeps it away
    try:
        folder.mkdir(mode=0o700)
        yield folder
    except BaseException:
        _outlast_writers(folder)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _in_use.discard(name)


def replace_file(
    path: Path, size: int, write: Callable[[Path], object], read: Callable[[Path], object]
) -> None:
    """Has a file written so that the old one or the new one is there, whole, at every moment.

    Args:
        path: the file.
        size: about how many bytes it has.
        write: writes it, to a path that it is given.
        read: reads it there; if it cannot, the old file stays.

    Raises:
        OSError: it cannot be written, or what was written cannot be read back; names the path.
    """
    with naming(path, size), workshop(path) as folder:
        new = folder / "new"
        write(new)
        with reading_back():
            read(new)
        put_in_place(new, path)


@contextlib.contextmanager
def reading_back() -> Iterator[None]:
    """Turns whatever keeps from being read what has just been written into an error of the system.

    Some systems fail without a word: `zipfile`, where it cannot seek, writes another kind of file.
    """
    try:
        yield
    except Exception as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if isinstance(cause, OSError):
            raise OSError(cause.errno, cause.strerror or str(cause)) from error
        facts = error.facts if isinstance(error, KGraphError) else {"received": repr(error)}
        reason = "; ".join(f"{key}: {fact}" for key, fact in facts.items() if fact is not None)
        text = f"What was written cannot be read back ({reason[:300]})"
        raise OSError(errno.EIO, text) from error


def check_writable(folder: Path) -> None:
    """Makes a folder if it is not there, and in it something that goes away again.

    Raises:
        OSError: one of these cannot be done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with workshop(folder / "probe"):
        pass


def put_in_place(new: Path, target: Path) -> None:
    """Makes `new` be `target`, durably: its bytes first, then its name."""
    sync(new)
    os.replace(new, target)
    sync(target.parent)


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, durably."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync(path.parent)


def sync(path: str | Path) -> None:
    """Has the system write out a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _outlast_writers(folder: Path) -> None:
    """Deletes a folder until it stays away: after a failure Orbax' threads go on for a moment."""
    absent = 0
    for _ in range(20):
        absent = 0 if folder.exists() else absent + 1
        if absent == 3:
            return
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _sweep(parent: Path) -> None:
    for entry in parent.glob(WORKSHOPS):
        match = _WORKSHOP.fullmatch(entry.name)
        if match is None or match[1] != _host() or entry.name in _in_use:
            continue
        process = int(match[2])
        if process == os.getpid() or not is_running(process):
            shutil.rmtree(entry, ignore_errors=True)


def is_running(process: int) -> bool:
    """Tells whether a process of this machine is running."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
