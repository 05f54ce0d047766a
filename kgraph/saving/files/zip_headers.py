"""The parts of a zip that say where its members are: the directory's end, a member's own header."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO

from kgraph.saving.files.misfit import Misfit

START = b"PK\x03\x04"
FULL = 0xFFFFFFFF
"""Stands for a size that is in the extra field, as it takes more than 32 bits."""

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX_NAME, _MAX_EXTRA = 2**12, 2**12


@dataclass(frozen=True)
class LocalHeader:
    """What a member says of itself, as it stands there; `start` is where its bytes begin."""

    start: int
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    name: bytes
    extra: bytes


def read_header(file: IO[bytes], at: int, place: str) -> LocalHeader:
    """Returns the header of the member that begins at `at`; `place` is its name in errors.

    Raises:
        Misfit: there is none.
    """
    file.seek(at)
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size or not head.startswith(START):
        raise Misfit(place, "a header", f"{len(head)} bytes")
    _, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL.unpack(head)
    if name_size > _MAX_NAME or extra_size > _MAX_EXTRA:
        raise Misfit(place, "a short name", f"{name_size} and {extra_size} bytes")
    rest = file.read(name_size + extra_size)
    start = at + _LOCAL.size + name_size + extra_size
    return LocalHeader(start, flags, method, crc, packed, size, rest[:name_size], rest[name_size:])


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
