"""The `.keras` file as a zip, of which nothing is extracted: members are read after checks."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from kgraph.saving.files import strict_json
from kgraph.saving.files.file_error import file_error, refusing
from kgraph.saving.files.misfit import Misfit
from kgraph.saving.files.window import Window
from kgraph.saving.files.zip_headers import read_end, read_header
from kgraph.saving.keras_format.archive_layout import check_layout
from kgraph.saving.kgraph_format.container import check_sha256
from kgraph.saving.kgraph_format.own_state import ASSETS
from kgraph.saving.kgraph_format.parts import COPY, open_regular, sha256_of

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MAX_MEMBERS = 10_000
MAX_EXPANSION = 100
FREE_BYTES = 64 * 2**20
_ENCRYPTED = 1
_BLOCK = 2**20
_ENTRY_BYTES = 256
"""What an entry of the directory may take, on average."""


@dataclass(frozen=True)
class KerasArchive:
    """What a `.keras` file holds: the config as plain data, and the weights as an HDF5 file.

    Fields:
        weights: where they are in the file, which is open until this is closed. (Where somebody has
            compressed them, which Keras does not, they are in memory.)
        assets: files that layers have written, by the names of their members.
    """

    path: Path
    config: Any
    weights: Window
    assets: dict[str, bytes]


def read_archive(path: Path, expect_sha256: str | None = None) -> KerasArchive:
    """Returns the config and the weights of a `.keras` file, which the caller closes.

    Args:
        path: the file.
        expect_sha256: the SHA-256 that it must have.

    Raises:
        ModelFileError: it is missing, damaged, or no such file.
    """
    problem = refusing(path, "is no zip file that can be read", hint=COPY)
    with problem, contextlib.ExitStack() as stack:
        raw = stack.enter_context(open_regular(path))
        if expect_sha256 is not None:
            check_sha256(path, expect_sha256, sha256_of(raw))
        file = io.BufferedReader(raw)  # type: ignore[arg-type]
        size = os.fstat(file.fileno()).st_size
        start = _directory(path, file, size)
        with zipfile.ZipFile(file) as archive:
            members = _members(path, archive, size)
            with _placed(path):
                check_layout(file, list(members.values()), start)
            assets: dict[str, bytes] = {}
            for name, info in members.items():
                if name.startswith(ASSETS):
                    assets[name] = _read(path, archive, info)
                elif name not in (CONFIG, METADATA, WEIGHTS):
                    _check_unread(path, archive, info)
            if METADATA in members:
                _read_json(path, archive, members[METADATA])
            config = _read_json(path, archive, members[CONFIG])
            weights = _window(path, archive, members[WEIGHTS], file)
        stack.pop_all()
        return KerasArchive(path, config, weights, assets)


def _window(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: IO[bytes]) -> Window:
    """Returns a member as a file, its checksum verified."""
    if info.compress_type == zipfile.ZIP_STORED:
        _check_unread(path, archive, info)
        start = read_header(file, info.header_offset, info.filename).start
        return Window(file, start, info.file_size)
    with file:
        data = _read(path, archive, info)
    return Window(io.BytesIO(data), 0, len(data))


@contextlib.contextmanager
def _placed(path: Path) -> Iterator[None]:
    """Turns a Misfit into the error for the file."""
    try:
        yield
    except Misfit as misfit:
        raise file_error(
            path, "is damaged, or no Keras file", at=misfit.place, expected=misfit.expected,
            received=misfit.received, hint=COPY,
        ) from None  # fmt: skip


def _directory(path: Path, file: IO[bytes], size: int) -> int:
    """Returns where the directory begins, which is small enough to be read."""
    with _placed(path):
        count, length, start = read_end(file, size)
    if max(count, length // _ENTRY_BYTES) > MAX_MEMBERS:
        raise file_error(path, "has too many members", expected=MAX_MEMBERS, received=count)
    return start


def _members(path: Path, archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    for info in infos:
        _check_member(path, info)
    members = {info.filename: info for info in infos}
    if len(members) != len(infos):
        raise file_error(path, "is damaged", expected="each member once", received="one twice")
    for name in (CONFIG, WEIGHTS):
        if name not in members:
            raise file_error(
                path, "is no Keras file", expected=name, received=", ".join(sorted(members)) or None
            )
    packed = sum(info.compress_size for info in infos)
    total = sum(info.file_size for info in infos)
    if packed > size or total > max(FREE_BYTES, MAX_EXPANSION * size):
        raise file_error(
            path, "expands to more than it can hold", expected=f"{size} bytes", received=total
        )
    return members


def _check_member(path: Path, info: zipfile.ZipInfo) -> None:
    """Refuses names that are no plain paths, links, and members packed in unusual ways."""
    name = info.filename
    plain = re.fullmatch(r"[\w.\- /]{1,1024}", name) and not name.startswith("/")
    if not plain or any(part in ("..", ".") for part in name.split("/")):
        raise file_error(path, "has a member with an unsafe name", received=repr(name))
    if stat.S_ISLNK(info.external_attr >> 16):
        raise file_error(path, "has a member that is a link", member=name)
    if info.flag_bits & _ENCRYPTED:
        raise file_error(path, "has an encrypted member", member=name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise file_error(
            path, "has a member packed in a way not known", member=name,
            expected="stored or deflated", received=info.compress_type,
        )  # fmt: skip
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        raise file_error(
            path, "is damaged", member=name, expected=info.compress_size, received=info.file_size
        )


def _read_json(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    if info.file_size > strict_json.MAX_BYTES:
        raise file_error(
            path, "holds JSON that is not accepted", member=info.filename,
            expected=f"at most {strict_json.MAX_BYTES} bytes", received=info.file_size,
        )  # fmt: skip
    data = _read(path, archive, info)
    with refusing(path, "holds JSON that is not accepted", member=info.filename):
        return strict_json.decode(data)


def _read(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Returns a whole member. Reading to its end also verifies its checksum."""
    with refusing(path, "is damaged", member=info.filename, hint=COPY):
        with archive.open(info) as file:
            data = file.read(info.file_size + 1)
        if len(data) != info.file_size:
            raise ValueError(f"{len(data)} bytes instead of {info.file_size}")
    return data


def _check_unread(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Verifies the checksum of a member, and keeps nothing of it."""
    with refusing(path, "is damaged", member=info.filename, hint=COPY), archive.open(info) as file:
        while file.read(_BLOCK):
            pass
