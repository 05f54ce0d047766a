"""Writing a file so that the old one or the new one is there, whole, at every moment."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

_WORKSHOP = re.compile(r"\.kgraph-saving-([0-9a-f]{8})-(\d+)-\w+")


@contextlib.contextmanager
def workshop(target: Path) -> Iterator[Path]:
    """Makes a private folder beside the target, and takes it away again whatever happens.

    Beside it, because a rename is atomic only within one file system. Folders that a killed process
    of this machine left behind are taken away first.
    """
    _sweep(target.parent)
    prefix = f".kgraph-saving-{_host()}-{os.getpid()}-"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_in_place(new: Path, target: Path) -> None:
    """Makes `new` be `target`, durably: its bytes first, then its name."""
    with open(new, "rb") as file:
        os.fsync(file.fileno())
    os.replace(new, target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _sweep(parent: Path) -> None:
    for entry in parent.glob(".kgraph-saving-*"):
        match = _WORKSHOP.fullmatch(entry.name)
        if match and match[1] == _host() and not _runs(int(match[2])):
            shutil.rmtree(entry, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
