"""Batches from an object that gives them by number, such as a `PyDataset`."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any

import numpy as np

from kgraph.data.batch import Batch, ClassWeight, as_batch, unpack_x_y_sample_weight
from kgraph.data.checks import check_steps
from kgraph.data.prefetch import in_order
from kgraph.data.py_dataset import PyDataset
from kgraph.data.source import random_generator, span, warn_short
from kgraph.errors import DataError
from kgraph.source import warn


class IndexedSource:
    """Asks a dataset for its batches by number; any place in any epoch can be asked for directly.

    Args:
        dataset: has `__getitem__(index)`, and `num_batches` or `__len__()`; may have
            `on_epoch_begin`, `on_epoch_end`, `workers` and `max_queue_size` (see `PyDataset`), and
            `set_pass(number)`, by which it orders its rows itself (see `RowDataset`).
        shuffle: draws a new order of the batches for each pass, unless the dataset has `set_pass`.
        seed: of the orders.
        steps_per_epoch: batches per epoch; needed if the dataset has no end.
        class_weight: weights of classes.

    Raises:
        DataError: if the dataset has no batches, or no end and no `steps_per_epoch`.
    """

    rows = None
    batch_size = None
    resumable = True
    exhausted = False

    def __init__(
        self,
        dataset: Any,
        shuffle: bool | str = False,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        class_weight: ClassWeight | None = None,
    ) -> None:
        self._dataset = dataset
        self._shuffle = bool(shuffle) and not hasattr(dataset, "set_pass")
        self._seed = seed
        self._epoch = self._ended_before = 0
        self._restored: dict[str, int] | None = None
        self._wanted = check_steps(steps_per_epoch)
        self._class_weight = class_weight
        total = self._total()
        if total == 0:
            raise DataError(f"{self._name} has no batches", received="length 0")
        if total is None and self._wanted is None:
            raise DataError(
                f"{self._name} has no end", hint="say how many batches: steps_per_epoch=..."
            )
        if getattr(dataset, "use_multiprocessing", False):
            warn(f"{self._name}: use_multiprocessing is not used, its workers run in threads.")

    def get_position(self) -> dict[str, int] | None:
        """Returns how often `on_epoch_end` has changed the data; None where it does nothing."""
        if not self._changes:
            return None
        return {"epoch": self._epoch, "ended": self._ended_before}

    def set_position(self, position: dict[str, int] | None, batches: int) -> None:
        """Makes the next epoch call `on_epoch_end` as often as it was, of data that are new here.

        It warns that the data then have to change as they did.
        """
        self._restored = position if self._changes else None

    @property
    def steps(self) -> int | None:
        """Batches per epoch."""
        return self._wanted or self._total()

    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        """Yields the batches of one epoch; see `Source.epoch`."""
        self._end_earlier_epochs(index)
        self._epoch, self._ended_before = index, self._ended
        if hasattr(self._dataset, "set_pass"):
            total = self._total()
            self._dataset.set_pass(index if total is None else span(index, total, self._wanted)[0])
        _call(self._dataset, "on_epoch_begin")
        numbers = self._numbers(index)
        with closing(self._items(numbers[start:])) as items:  # ends the threads on any way out
            for place, item in enumerate(items, start):
                where = f"batch {numbers[place]} of {self._name}"
                yield as_batch(*unpack_x_y_sample_weight(item), self._class_weight, where)
        self._end_epoch()
        if self._wanted is not None and len(numbers) < self._wanted:
            warn_short(index, self._wanted, len(numbers), "The next epoch begins the data anew.")

    @property
    def _changes(self) -> bool:
        """Whether the ends of epochs may change the data."""
        own = getattr(type(self._dataset), "on_epoch_end", None)
        return own not in (None, PyDataset.on_epoch_end) and not hasattr(self._dataset, "set_pass")

    @property
    def _ended(self) -> int:
        """How many ends of epochs the dataset has had in this process, of all its trainings."""
        return getattr(self._dataset, "_kgraph_ended", 0)

    def _end_epoch(self) -> None:
        _call(self._dataset, "on_epoch_end")
        if self._changes:
            self._dataset._kgraph_ended = self._ended + 1

    def _end_earlier_epochs(self, index: int) -> None:
        """Changes data that are new in this process as the epochs before have changed them.

        Raises:
            DataError: they have changed further.
        """
        restored, self._restored = self._restored, None
        if restored is None:
            return
        missing = restored["ended"] + index - restored["epoch"] - self._ended
        if missing < 0:
            raise DataError(
                f"{self._name} has changed since the checkpoint was saved: on_epoch_end has been "
                f"called {-missing} times more",
                hint=f"give fit a new {self._name}",
            )
        if missing:
            warn(
                f"{self._name}.on_epoch_end is called for {missing} epochs that were before: it "
                "has to change the data as it did then. Drawn numbers are the same only if they "
                "come from a generator that the dataset makes itself, with a seed"
            )
        for _ in range(missing):
            _call(self._dataset, "on_epoch_begin")
            self._end_epoch()

    @property
    def _name(self) -> str:
        return type(self._dataset).__name__

    def _total(self) -> int | None:
        # Asked again for each epoch: on_epoch_end may change it.
        if hasattr(self._dataset, "num_batches"):
            return self._dataset.num_batches
        return len(self._dataset)

    def _numbers(self, index: int) -> list[int]:
        total = self._total()
        if total is None:
            assert self._wanted is not None
            return list(range(index * self._wanted, (index + 1) * self._wanted))
        number, first, stop = span(index, total, self._wanted)
        order = np.arange(total)
        if self._shuffle:
            order = random_generator(self._seed, number).permutation(order)
        return order[first:stop].tolist()

    def _items(self, numbers: list[int]) -> Generator[Any, None, None]:
        workers = getattr(self._dataset, "workers", 1)
        if workers > 1:
            ahead = max(1, getattr(self._dataset, "max_queue_size", 10))
            return in_order(self._dataset.__getitem__, numbers, workers, ahead)
        return (self._dataset[number] for number in numbers)


def _call(dataset: Any, hook: str) -> None:
    if hasattr(dataset, hook):
        getattr(dataset, hook)()
