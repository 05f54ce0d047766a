"""A part of an open file as a file of its own: nothing of it is read before it is asked for."""

from __future__ import annotations

import functools
import io
import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

_BLOCK = 2**20
_KEPT = 2


class Window(io.RawIOBase):
    """So many bytes of an open file, which is closed with this.

    Args:
        file: can be sought in; nobody else reads it meanwhile.
        start, size: which part.
    """

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file, self._start, self.size, self._at = file, start, size, 0
        self._block = functools.lru_cache(_KEPT)(self._read_block)

    def close(self) -> None:
        self._block.cache_clear()
        self._file.close()
        super().close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Buffer, /) -> int:
        """Fills a buffer, but for what lies behind the end.

        Raises:
            EOFError: the file has become shorter. (HDF5 would take for data what was there before.)
        """
        target = memoryview(buffer).cast("B")
        target = target[: max(self.size - self._at, 0)]
        self._file.seek(self._start + self._at)
        done = 0
        while done < len(target):
            count = self._file.readinto(target[done:])  # type: ignore[attr-defined]
            if not count:
                raise EOFError(f"the file ends {len(target) - done} bytes too early")
            done += count
        self._at += done
        return done

    # --- as bytes --------------------------------------------------------------------------------

    def part(self, start: int, stop: int) -> bytes:
        """Returns the bytes from one place to another, as far as there are any."""
        stop = min(stop, self.size)
        first = start // _BLOCK
        blocks = [self._block(n) for n in range(first, -(-stop // _BLOCK))]
        inside = blocks[0] if len(blocks) == 1 else b"".join(blocks)
        return inside[start - first * _BLOCK : stop - first * _BLOCK]

    def find(self, wanted: bytes, start: int) -> int:
        """Returns where some bytes are first from a place on; -1 if nowhere."""
        while start + len(wanted) <= self.size:
            stop = (start // _BLOCK + 1) * _BLOCK + len(wanted) - 1
            if (at := self.part(start, stop).find(wanted)) >= 0:
                return start + at
            start = stop - len(wanted) + 1
        return -1

    def _read_block(self, number: int) -> bytes:
        data = bytearray(min(_BLOCK, self.size - number * _BLOCK))
        self.seek(number * _BLOCK)
        self.readinto(data)
        return bytes(data)
