"""Errors of the system while something is written: they name the user's path, and what it needs."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from kgraph.errors import ConfigError

DRAFT = ".kgraph-saving-"
"""How the names begin that files and folders have before they are whole."""

_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""How a place begins that is not on this machine: also as `Path` writes it, and no drive letter."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def local_path(path: str | os.PathLike[str]) -> str:
    """Returns a path of this machine as text.

    Raises:
        ConfigError: it is of a bucket: "gs:" would be taken for the name of a folder here.
    """
    text = os.fspath(path)
    if _ELSEWHERE.match(text):
        raise ConfigError(
            "Files are written to and read from this machine, and nowhere else", received=text,
            hint=[
                "give a path of this machine, and copy the file (gcloud storage cp);",
                'the text "gs://bucket/name" is taken by Checkpoint, BackupAndRestore and '
                "OrbaxCheckpoint",
            ],
        )  # fmt: skip
    return text


@contextlib.contextmanager
def naming(path: str | os.PathLike[str], needed: int | None = None) -> Iterator[None]:
    """Has errors of the system name a path that the user knows, and how much a full disk lacks.

    Args:
        path: what is written.
        needed: about how many bytes that takes.
    """
    try:
        yield
    except OSError as error:
        text = lacking(error.strerror or str(error), error.errno, needed)
        own = error.filename is None or DRAFT in str(error.filename)
        place = os.fspath(path) if own else str(error.filename)
        raise OSError(error.errno or errno.EIO, text, place) from error


def lacking(text: str, number: int | None, needed: int | None) -> str:
    """Returns the text of an error of the system; of a full disk, with the bytes that it needs."""
    if needed is None or number not in _FULL or f"{needed:,}" in text:
        return text
    return f"{text}: it needs {needed:,} bytes"


def write_file(path: str | os.PathLike[str], data: bytes | bytearray) -> None:
    """Writes a file under another name and renames it, so that no half of it is ever seen.

    For what can be made again (pictures, compiled steps): a crash of the system may lose it.
    `kgraph.saving.files.atomic.replace_file` writes what must be on the disk, and reads it back.

    Raises:
        OSError: it cannot be written, and an older file stays; names the path and the bytes.
    """
    target = Path(os.path.realpath(path))  # a link stays one
    draft = target.with_name(f"{DRAFT}{os.getpid()}-{target.name}")
    with naming(path, len(data)):
        if target.exists() and not target.is_file():  # /dev/stdout, a pipe
            target.write_bytes(data)
            return
        try:
            draft.write_bytes(data)
            os.replace(draft, target)
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
