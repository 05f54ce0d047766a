"""Sizes that batches and data are padded to, so that few of them are compiled for."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

_LEAST_ROWS = 1024
_LEAST_BYTES = 16 * 2**20


class Sizes:
    """The sizes that single batches have been run in so far.

    The first is taken as it is: most programs see one size only. A batch of another size is padded
    to a known one, or to a step (8, 32, 64, 128, ...): batches of 1 to 32 rows need three sizes.

    Args:
        steps: the small steps.
        most_padded: how many times larger than a small batch its padding may make it.
    """

    def __init__(self, steps: Sequence[int] = (8, 32), most_padded: int = 8) -> None:
        self._known: list[int] = []
        self._steps, self._most_padded = steps, most_padded

    def room(self, rows: int) -> int:
        """Returns how many rows a batch of so many is padded to."""
        most = self._most_padded * rows if rows <= self._steps[-1] else 2 * rows
        found = next((size for size in self._known if rows <= size <= most), None)
        if found is None:
            found = self._step(rows) if self._known else rows
            insort(self._known, found)
        return found

    def _step(self, rows: int) -> int:
        small = next((size for size in self._steps if rows <= size), None)
        return small or 1 << (rows - 1).bit_length()


def room_for_data(rows: int, row_bytes: int) -> int:
    """Returns for how many rows data of so many are given room on the device.

    At most a quarter more than there are, in eighths of a power of two, so that data which grow
    are compiled for a few times only; small data all get the same room.
    """
    least = min(_LEAST_ROWS, _LEAST_BYTES // max(row_bytes, 1))
    part = max(1, 1 << max(0, (rows - 1).bit_length() - 3))
    return max(rows, least, -(-rows // part) * part)
