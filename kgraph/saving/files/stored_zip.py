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

MAX_MEMBERS = 16
START = b"PK\x03\x04"

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same content gives the same bytes, whenever it is written
_UNIX = 3
_MAX_DIRECTORY = 2**16
_FULL = 0xFFFFFFFF
_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
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


def read_end(file: IO[bytes], size: int) -> tuple[int, int, int]:
    """Returns number of members, size and start of the directory, from the last bytes.

    Raises:
        Misfit: the file does not end with what every reader takes for its directory.
    """
    tail_size = min(size, _END_64.size + _LOCATOR.size + _END.size)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    if len(tail) < _END.size:
        raise Misfit("the file", "a directory at its end", f"{size} bytes")
    mark, disk, disk_2, here, count, length, start, comment = _END.unpack(tail[-_END.size :])
    if mark != b"PK\x05\x06" or disk or disk_2 or here != count or comment:
        raise Misfit("the file", "a directory at its end", mark)
    end = size - _END.size
    large = tail[-_END.size - _LOCATOR.size : -_END.size]
    if large.startswith(b"PK\x06\x07") and len(tail) == tail_size > _END.size + _LOCATOR.size:
        mark, _, where, _ = _LOCATOR.unpack(large)
        end -= _LOCATOR.size + _END_64.size
        if where != end or not tail.startswith(b"PK\x06\x06"):
            raise Misfit("the directory's end", end, where)  # type: ignore[arg-type]
        *_, here, count, length, start = _END_64.unpack(tail[: _END_64.size])
    if start + length != end:
        raise Misfit("the directory", f"{end} as its end", start + length)
    return count, length, start


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
    file.seek(at)
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size:
        raise Misfit("a member", "a header", f"{len(head)} bytes")
    mark, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL.unpack(head)
    if name_size > len(name) or extra_size > 64:
        raise Misfit("a member", "the name in the directory", "another")
    rest = file.read(name_size + extra_size)
    size, packed = _wide(rest[name_size:], (size, packed))
    same = (flags, crc, size) == facts and packed == size and not method
    if mark != START or rest[:name_size] != name or not same:
        raise Misfit("a member", "what the directory says", "another name, size or checksum")
    return at + len(head) + len(rest)


def _wide(extra: bytes, fields: tuple[int, ...]) -> tuple[int, ...]:
    """Returns sizes and offset, those of more than 32 bits from the extra field that has them."""
    full = [i for i, field in enumerate(fields) if field == _FULL]
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
