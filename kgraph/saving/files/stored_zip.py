"""Zip files whose members are stored as they are: written, and read without any doubt.

Zip readers differ in what they believe when parts of a file contradict each other. This one reads
what `write_zip` writes: members one after the other from the first byte on, each once, nothing
between or behind them, and both headers of a member saying the same.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kgraph.saving.files.misfit import Misfit
from kgraph.saving.files.zip_headers import FULL, read_end, read_header

MAX_MEMBERS = 16

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same content gives the same bytes, whenever it is written
_UNIX = 3
_MAX_DIRECTORY = 2**16
_ENTRY = struct.Struct("<4s6H3L5H2L")
_UTF8_NAME = 0x800

Chunk = bytes | memoryview


@dataclass(frozen=True)
class Extent:
    """Where a member's bytes are in a file."""

    start: int
    size: int


def write_zip(new: Path, members: Mapping[str, tuple[int, Iterable[Chunk]]]) -> None:
    """Writes members, given as size and chunks of bytes. The same content gives the same bytes."""
    with zipfile.ZipFile(new, "x", zipfile.ZIP_STORED) as archive:
        for name, (size, chunks) in members.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr, entry.create_system = 0o644 << 16, _UNIX
            entry.file_size = size
            with archive.open(entry, "w", force_zip64=size >= 2**31 - 1) as sink:
                for chunk in chunks:
                    sink.write(chunk)


def read_zip(file: IO[bytes], size: int) -> dict[str, Extent]:
    """Returns where each member of an open file is.

    Raises:
        Misfit: it is not a zip file as `write_zip` writes it.
    """
    count, directory_size, directory_start = read_end(file, size)
    if count > MAX_MEMBERS or directory_size > _MAX_DIRECTORY:
        raise Misfit("the directory", f"at most {MAX_MEMBERS} members", count)
    file.seek(directory_start)
    directory = file.read(directory_size)
    if len(directory) != directory_size:
        raise Misfit("the directory", f"{directory_size} bytes", len(directory))
    found: dict[str, Extent] = {}
    at = end = 0
    for _ in range(count):
        name, extent, at = _member(file, directory, at, end)
        if name in found:
            raise Misfit("the directory", "each member once", f"{name} twice")
        found[name] = extent
        end = extent.start + extent.size
    if at != directory_size or end != directory_start:
        raise Misfit("the directory", f"{end} bytes in members", f"{directory_start} before it")
    return found


def _member(file: IO[bytes], directory: bytes, at: int, end: int) -> tuple[str, Extent, int]:
    """Returns name and extent of the member described at `at`, and where the next is described."""
    if len(directory) < at + _ENTRY.size:
        raise Misfit("the directory", "an entry", "its end")
    (
        mark, _, _, flags, method, _, _, crc, packed, size, name_size, extra_size, comment, disk,
        _, _, offset,
    ) = _ENTRY.unpack_from(directory, at)  # fmt: skip
    at += _ENTRY.size
    raw, extra = directory[at : at + name_size], directory[at + name_size :][:extra_size]
    if mark != b"PK\x01\x02" or disk or comment or flags & ~_UTF8_NAME or method:
        kind = "a packed or encrypted one" if method or flags & ~_UTF8_NAME else "an odd one"
        raise Misfit("the directory", "members stored as they are", kind)
    size, packed, offset = _wide(extra, (size, packed, offset))
    if size != packed or offset != end:
        raise Misfit("the directory", f"a member of {packed} bytes at {end}", f"{size} at {offset}")
    start = _local(file, end, raw, (flags, crc, size))
    return _text(raw), Extent(start, size), at + name_size + extra_size


def _local(file: IO[bytes], at: int, name: bytes, facts: tuple[int, int, int]) -> int:
    """Returns where the bytes of a member begin, when its own header agrees with the directory."""
    header = read_header(file, at, "a member")
    size, packed = _wide(header.extra, (header.size, header.packed))
    same = (header.flags, header.crc, size) == facts and packed == size and not header.method
    if header.name != name or not same:
        raise Misfit("a member", "what the directory says", "another name, size or checksum")
    return header.start


def _wide(extra: bytes, fields: tuple[int, ...]) -> tuple[int, ...]:
    """Returns sizes and offset, those of more than 32 bits from the extra field that has them."""
    full = [i for i, field in enumerate(fields) if field == FULL]
    expected = struct.pack("<2H", 1, 8 * len(full))
    if len(extra) != (4 + 8 * len(full) if full else 0) or (full and extra[:4] != expected):
        raise Misfit("a member", "a header without extras", f"{len(extra)} bytes of extras")
    wide = list(fields)
    for i, value in zip(full, struct.unpack(f"<{len(full)}Q", extra[4:])):
        wide[i] = value
    return tuple(wide)


def _text(raw: bytes) -> str:
    try:
        return raw.decode("ascii")
    except ValueError:
        raise Misfit("the directory", "a plain name", raw) from None
