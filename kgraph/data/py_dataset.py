"""The base class of datasets that give their batches by number."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from kgraph.errors import ConfigError


class PyDataset:
    """A dataset of whole batches: define `__getitem__(index)` and `__len__()` (or `num_batches`).

    `fit` calls `on_epoch_begin` and `on_epoch_end` around each epoch, and with `shuffle=True` asks
    for the batches in a new order each time.

    Args:
        workers: with more than one, batches are made ahead of time by that many threads.
        use_multiprocessing: accepted for compatibility; the workers are threads all the same,
            because a process that has started JAX cannot be forked safely.
        max_queue_size: how many batches may wait at most.

    >>> class Squares(PyDataset):
    ...     def __len__(self):
    ...         return 2
    ...     def __getitem__(self, index):
    ...         return [[index]], [[index**2]]
    >>> list(Squares())
    [([[0]], [[0]]), ([[1]], [[1]])]
    """

    # On the class as well, so that a subclass that forgets super().__init__() works.
    workers: int = 1
    use_multiprocessing: bool = False
    max_queue_size: int = 10

    def __init__(
        self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
    ) -> None:
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __getitem__(self, index: int) -> Any:
        """Returns batch `index`: x, (x, y) or (x, y, sample_weight)."""
        raise ConfigError(f"{type(self).__name__} has to define __getitem__(self, index)")

    @property
    def num_batches(self) -> int | None:
        """The number of batches, or None for a dataset without end."""
        length = getattr(self, "__len__", None)
        if length is None:
            raise ConfigError(
                f"{type(self).__name__} has to define __len__(self)",
                hint="or the property num_batches, which is None for a dataset without end",
            )
        return length()

    def on_epoch_begin(self) -> None:
        """Runs before the first batch of each epoch."""

    def on_epoch_end(self) -> None:
        """Runs after the last batch of each epoch."""

    def __iter__(self) -> Iterator[Any]:
        number = self.num_batches
        return (self[i] for i in (count() if number is None else range(number)))
