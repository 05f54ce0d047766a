"""The parts of a saved model: stretches of one file, or the files of a folder."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import jax.numpy as jnp
import numpy as np

from kgraph.saving.files.digests import filled
from kgraph.saving.files.file_error import file_error
from kgraph.saving.files.host_memory import aligned
from kgraph.saving.files.misfit import Misfit
from kgraph.saving.files.stored_zip import read_zip
from kgraph.saving.files.window import Window
from kgraph.saving.files.zip_headers import START
from kgraph.saving.kgraph_format.manifest import MANIFEST
from kgraph.saving.kgraph_format.safetensors import ArraySpec

_STEM_DIGITS = 16
_OURS = re.compile(r"(model|training|arrays(-\d{5})?)-[0-9a-f]{16}\.(json|safetensors)")
COPY = "the file was damaged or cut after it was saved: use another copy"


@dataclass(frozen=True)
class Part:
    """A stretch of an open file."""

    file: IO[bytes]
    start: int
    size: int

    def read(self, start: int, size: int) -> bytes:
        """Returns so many bytes of the part; the caller has compared them with its size."""
        data = bytearray(size)
        self._fill(start, memoryview(data))
        return bytes(data)

    def read_array(self, start: int, spec: ArraySpec) -> tuple[np.ndarray, str]:
        """Returns an array whose bytes begin at `start` of the part, and its digest."""
        array = aligned(spec.shape, jnp.dtype(spec.dtype))
        threads = None if hasattr(os, "preadv") else 1  # without it (Windows) a file has one place
        digest = filled(array, lambda at, block: self._fill(start + at, block), threads)
        if spec.dtype == "bool" and array.size and (most := array.view(np.uint8).max()) > 1:
            raise Misfit(spec.name, "bytes that are 0 or 1", int(most))
        return array, digest

    def _fill(self, start: int, target: memoryview) -> None:
        done = 0
        while done < len(target):
            count = self._read_into(self.start + start + done, target[done:])
            if not count:
                raise Misfit("the file", f"{len(target)} bytes", f"{done}, and then its end")
            done += count

    def _read_into(self, place: int, target: memoryview) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self.file.fileno(), [target], place)
        self.file.seek(place)
        return self.file.readinto(target)  # type: ignore[attr-defined]


# --- one file ------------------------------------------------------------------------------------


def open_regular(path: Path, name: str | None = None) -> IO[bytes]:
    """Opens a regular file for reading, unbuffered; links are followed unless a `name` is given.

    Args:
        path: the file, or a folder.
        name: of the file in the folder.

    Raises:
        ModelFileError: it is something else, or not there.
    """
    full = path if name is None else path / name
    try:
        mode = (os.stat if name is None else os.lstat)(full).st_mode
    except FileNotFoundError:
        raise file_error(path, "does not exist", member=name) from None
    except (OSError, ValueError) as error:
        raise file_error(path, "cannot be opened", member=name, received=error) from None
    if not stat.S_ISREG(mode):
        raise file_error(
            path, "is no regular file", member=name, expected="a file that model.save wrote"
        )
    try:
        return open(full, "rb", buffering=0)
    except OSError as error:
        raise file_error(path, "cannot be opened", member=name, received=error) from None


def open_window(path: Path) -> Window:
    """Opens a regular file that is read here and there.

    Raises:
        ModelFileError: it is something else, or not there.
    """
    file = io.BufferedReader(open_regular(path))  # type: ignore[arg-type]
    return Window(file, 0, os.fstat(file.fileno()).st_size)


def file_parts(path: Path, file: IO[bytes]) -> dict[str, Part]:
    """Returns the parts of a saved file by name.

    Raises:
        ModelFileError: it is no such file, or damaged.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    start = file.read(8)
    if not start.startswith(START):
        kind = "an HDF5 file" if start.startswith(b"\x89HDF") else repr(start) if start else "empty"
        raise file_error(
            path, "is not a kgraph file", expected="a file that model.save wrote", received=kind
        )
    try:
        extents = read_zip(file, size)
    except Misfit as misfit:
        raise file_error(
            path, "is damaged or cut", at=misfit.place, expected=misfit.expected,
            received=misfit.received, hint=COPY,
        ) from None  # fmt: skip
    parts = {name: Part(file, extent.start, extent.size) for name, extent in extents.items()}
    if MANIFEST not in parts:
        keras = {"config.json", "metadata.json"} <= set(parts)
        raise file_error(
            path, "is not a kgraph file", expected=MANIFEST,
            received="a Keras file, whose name must end in .keras" if keras else sorted(parts),
        )  # fmt: skip
    return parts


def sha256_of(file: IO[bytes]) -> str:
    """Returns the SHA-256 of an open file."""
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


# --- a folder ------------------------------------------------------------------------------------


def name_in_folder(name: str, digest: str) -> str:
    """Returns the name of the file in a folder that holds a part.

    The digest is in it, so a new save writes beside the old one, and `manifest.json` decides.

    >>> name_in_folder("model.json", "0123456789abcdef" * 4)
    'model-0123456789abcdef.json'
    """
    stem, suffix = os.path.splitext(name)
    return f"{stem}-{digest[:_STEM_DIGITS]}{suffix}"


def is_ours(name: str) -> bool:
    """Tells whether a file in a folder is a part of some save."""
    return _OURS.fullmatch(name) is not None


def open_manifest(path: Path, stack: contextlib.ExitStack) -> Part:
    """Returns the manifest of a folder as a part."""
    file = stack.enter_context(open_regular(path, MANIFEST))
    return Part(file, 0, os.fstat(file.fileno()).st_size)


def folder_parts(
    path: Path, digests: Mapping[str, str], stack: contextlib.ExitStack
) -> dict[str, Part]:
    """Returns the parts of a folder by name, given their digests.

    Raises:
        ModelFileError: one is missing, or no regular file.
    """
    return dict(_opened(path, digests, stack))


def _opened(
    path: Path, digests: Mapping[str, str], stack: contextlib.ExitStack
) -> Iterator[tuple[str, Part]]:
    for name, digest in digests.items():
        file = stack.enter_context(open_regular(path, name_in_folder(name, digest)))
        yield name, Part(file, 0, os.fstat(file.fileno()).st_size)
