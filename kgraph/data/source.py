"""What the training loop asks of data: batches, epoch by epoch, from any position."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from kgraph.data.batch import Batch
from kgraph.source import warn


class Source(Protocol):
    """Batches for a training loop.

    An epoch is named by its index, and a batch by its place in the epoch. A source that is
    `resumable` gives the same batches for the same index and place each time it is asked, so a loop
    that was stopped can go on where it was.
    """

    @property
    def steps(self) -> int | None:
        """Batches per epoch; None while that is not known."""
        ...

    @property
    def rows(self) -> int | None:
        """Rows of the whole data; None if that is not known."""
        ...

    @property
    def batch_size(self) -> int | None:
        """Rows of all batches but the last; None if the data come in batches of their own."""
        ...

    @property
    def resumable(self) -> bool:
        """Whether `epoch` can begin at any place."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether no later epoch can have a batch: training has to stop."""
        ...

    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        """Yields the batches of epoch `index` (from 0), beginning with batch `start` of it."""
        ...


def span(index: int, total: int, wanted: int | None) -> tuple[int, int, int]:
    """Returns (pass, first, stop): the part of which pass over the data an epoch consists of.

    Without `wanted` an epoch is a pass. With it a pass serves several epochs of that many batches;
    the last of them takes what is left, and the next pass begins after it. So the place of an epoch
    in the data depends on its index alone.

    >>> [span(i, total=5, wanted=2) for i in range(4)]
    [(0, 0, 2), (0, 2, 4), (0, 4, 5), (1, 0, 2)]
    """
    if wanted is None:
        return index, 0, total
    number, part = divmod(index, -(-total // wanted))
    first = part * wanted
    return number, first, min(first + wanted, total)


def random_generator(seed: int, number: int) -> np.random.Generator:
    """Returns a generator that is a pure function of the seed and the number of the pass."""
    # An explicit uint64: a list with a large number in it would pass through float64.
    key = np.array([int(seed) % 2**64, number], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def warn_short(index: int, wanted: int | None, given: int, hint: str) -> None:
    """Warns that an epoch had fewer batches than were wanted (None: any at all)."""
    wish = "at least one batch was" if wanted is None else f"{wanted} batches were"
    warn(f"The data ran out in epoch {index + 1}: {wish} wanted and {given} given. {hint}")
