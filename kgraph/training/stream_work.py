"""Training and evaluation over batches that come from the host, two of them ahead of the device."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from kgraph.data import ahead, ahead_if_slow
from kgraph.training.device_rows import padded_batch
from kgraph.training.job import Form, form_of
from kgraph.training.placement import Placement, shared_call
from kgraph.training.step import Batch

Taken = tuple[Batch, Any, Any, int]
"""A batch on the device, which of its rows count, the position after it, and how many count."""


class Stream:
    """Hands one batch after the other to a function, prepared in a thread where that takes long.

    Attributes:
        position: where the data were after the batch that was taken last.
        rows: how many that batch had, with its padding.
        examples: how many without; of all processes, where each reads its part.
        form: what its inputs look like.
        taken: how many batches have been taken.

    Args:
        raw: gives the batches as the data have them.
        prepare: makes a flat batch of one, and checks it; may run in the thread.
        take: called with each batch on the device and which of its rows count (None for all).
        size: how many rows batches are padded to, by key; None does not pad.
        position: tells where the data are after the batch that was read last.
        most: how many batches to take at most.
        placement: spreads batches over several devices; None for one device.
    """

    def __init__(
        self,
        raw: Iterator[Any],
        prepare: Callable[[Any], Batch],
        take: Callable[[Batch, Any], None],
        size: PaddedSize | None,
        position: Callable[[], Any] | None = None,
        most: int | None = None,
        placement: Placement | None = None,
    ) -> None:
        self._take = take
        self._call = shared_call(placement)
        self.position: Any = None
        self.rows = self.taken = self.examples = 0
        self.form: Form = ()
        reads_own = placement is not None and placement.reads_own
        readers = placement.distribution.num_processes if placement and reads_own else 1

        def ready(item: object) -> Taken:
            batch, kept = prepare(item), None
            examples = batch.rows * readers
            if size is not None:
                batch, kept = size.fit(batch)
            where = None if position is None else position()
            if placement is not None:
                return *placement.batch((batch, kept), batch.rows), where, examples
            return *for_one_device((batch, kept)), where, examples

        taken_ahead = ahead_if_slow if placement is None else ahead
        self._items = taken_ahead(_at_most(raw, most), ready)
        self._next: Taken | None = None
        if self._call is not None:
            self._call.begin_data()

    def more(self) -> bool:
        """Tells whether there is another batch; waits for it.

        Raises:
            DataError: of several processes, another one has more batches, or fewer.
        """
        if self._next is None:
            self._next = next(self._items, None)
            if self._next is None and self._call is not None:
                self._call.end_data()
        return self._next is not None

    def run(self, limit: int) -> int:
        """Takes one batch, and returns 1."""
        if self.more():
            assert self._next is not None
            batch, kept, self.position, self.examples = self._next
            self.form = form_of(batch)
            self._next = None
            self.rows = batch.rows
            self.taken += 1
            if self._call is not None:
                self._call.took_batch()
            self._take(batch, kept)
        return 1

    def close(self) -> None:
        """Ends the thread."""
        self._items.close()


class PaddedSize:
    """Pads batches to the most rows that any had so far, so that few sizes are compiled for.

    Args:
        rows: the most that batches had before the first.
        placement: into how many parts they are cut, which have to be equal.
        only_smaller: leaves the largest batches as they are, without a word on which rows count.
    """

    def __init__(
        self, rows: int = 0, placement: Placement | None = None, only_smaller: bool = False
    ) -> None:
        self._rows, self._placement, self._only_smaller = rows, placement, only_smaller
        self._whole: Any = None

    def fit(self, batch: Batch) -> tuple[Batch, Any]:
        """Returns the padded batch, and which of its rows count; None for all."""
        rows = batch.rows
        self._rows = max(self._rows, rows)
        if self._only_smaller and rows == self._rows:
            return batch, None
        if self._placement is not None and not self._only_smaller:
            self._rows = self._placement.rounded(self._rows)
        if rows == self._rows:
            return batch, self._all_rows()
        return padded_batch(batch, self._rows), self._placed(np.arange(self._rows) < rows)

    def _all_rows(self) -> Any:
        """Returns that all rows count, which most batches say: on the device, once."""
        if self._whole is None or len(self._whole) != self._rows:
            self._whole = self._placed(np.ones(self._rows, bool))
        return self._whole

    def _placed(self, kept: np.ndarray) -> Any:
        return jax.device_put(kept) if self._placement is None else kept


def for_one_device(batch: tuple[Batch, Any]) -> tuple[Batch, Any]:
    """Returns a batch on the device. A CPU's executables take NumPy's arrays, and faster so."""
    return batch if jax.default_backend() == "cpu" else jax.device_put(batch)


def _at_most(items: Iterator[Any], most: int | None) -> Iterator[Any]:
    if most is None:
        return items

    def some() -> Iterator[Any]:
        try:
            yield from itertools.islice(items, most)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    return some()
