"""Whether a zip says one thing only, whoever reads it.

Some readers go by the directory at the end, others by the headers of the members. So both have to
say the same, and the members have to fill the file: nothing before, between or behind them.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Sequence
from typing import IO

from kgraph.saving.files.misfit import Misfit
from kgraph.saving.files.stored_zip import START

_LOCAL = struct.Struct("<4s5H3L2H")
_FULL = 0xFFFFFFFF
_LATE, _UTF8 = 0x8, 0x800
_LEVELS = 0x6
_DESCRIPTORS = (12, 16, 20, 24)
"""How many bytes may follow a member whose sizes were not known when its header was written."""


def check_layout(file: IO[bytes], infos: Sequence[zipfile.ZipInfo], end: int) -> None:
    """Compares the directory of an open zip with the members.

    Args:
        file: the zip.
        infos: what the directory says.
        end: where the directory begins.

    Raises:
        Misfit: they differ, overlap, or leave gaps.
    """
    at, gaps = 0, (0,)
    for info in sorted(infos, key=lambda info: info.header_offset):
        _check_gap(info.filename, info.header_offset - at, gaps)
        at = _end_of(file, info)
        gaps = _DESCRIPTORS if info.flag_bits & _LATE else (0,)
    _check_gap("the directory", end - at, gaps)


def _check_gap(place: str, gap: int, known: Sequence[int]) -> None:
    if gap not in known:
        raise Misfit(place, "members one after the other", f"{gap} bytes between two")


def _end_of(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Returns where a member ends, when its own header agrees with the directory."""
    file.seek(info.header_offset)
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size:
        raise Misfit(info.filename, "a header", f"{len(head)} bytes")
    mark, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL.unpack(head)
    name = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
    sizes = packed in (info.compress_size, _FULL) and size in (info.file_size, _FULL)
    same = (sizes and crc == info.CRC) or flags & _LATE
    if info.filename != info.orig_filename or info.flag_bits & ~(_LATE | _UTF8 | _LEVELS):
        raise Misfit(info.filename, "a plain member", info.orig_filename)
    kind = (mark, flags, method) == (START, info.flag_bits, info.compress_type)
    if not (kind and same and file.read(name_size) == name):
        raise Misfit(info.filename, "what the directory says", "another name, size or checksum")
    return info.header_offset + _LOCAL.size + name_size + extra_size + info.compress_size
