"""Whether a zip says one thing only, whoever reads it.

Some readers go by the directory at the end, others by the headers of the members. So both have to
say the same, and the members have to fill the file: nothing before, between or behind them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from typing import IO

from kgraph.saving.files.misfit import Misfit
from kgraph.saving.files.zip_headers import FULL, read_header

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
    header = read_header(file, info.header_offset, info.filename)
    name = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
    sizes = header.packed in (info.compress_size, FULL) and header.size in (info.file_size, FULL)
    same = (sizes and header.crc == info.CRC) or header.flags & _LATE
    if info.filename != info.orig_filename or info.flag_bits & ~(_LATE | _UTF8 | _LEVELS):
        raise Misfit(info.filename, "a plain member", info.orig_filename)
    kind = (header.flags, header.method) == (info.flag_bits, info.compress_type)
    if not (kind and same and header.name == name):
        raise Misfit(info.filename, "what the directory says", "another name, size or checksum")
    return header.start + info.compress_size
