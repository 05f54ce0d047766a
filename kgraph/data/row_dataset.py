"""A dataset that makes batches of rows when they are asked for, in an order of its own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kgraph.data.checks import check_steps
from kgraph.data.pipeline import Chained
from kgraph.data.py_dataset import PyDataset
from kgraph.data.source import random_generator
from kgraph.errors import DataError


class RowDataset(PyDataset, Chained):
    """Batches of rows that a function makes; with `shuffle` every pass has its own order of rows.

    `fit` tells the number of the pass, so the same pass has the same batches in any process, and
    training goes on in the middle of it. A loop of your own over the dataset takes the next pass
    each time. `fit(shuffle=...)` changes nothing: the dataset decides.

    Args:
        rows: how many there are.
        take: makes a batch of rows from their numbers (an array), and one row from one number.
        batch_size: rows per batch; the last one has what is left. None gives single rows, without
            the axis of the batch.
        shuffle: whether each pass draws a new order.
        seed: of the orders.
        workers: with more than one, batches are made ahead of time by that many threads.

    Raises:
        DataError: there are no rows, or `batch_size` is not a whole number of at least 1.

    >>> batches = RowDataset(5, lambda rows: rows * 10, batch_size=2)
    >>> [batch.tolist() for batch in batches]
    [[0, 10], [20, 30], [40]]
    """

    def __init__(
        self,
        rows: int,
        take: Callable[[Any], Any],
        batch_size: int | None = 32,
        shuffle: bool = False,
        seed: int = 0,
        workers: int = 1,
    ) -> None:
        super().__init__(workers)
        if rows < 1:
            raise DataError("A dataset needs at least one row", received=rows)
        self.rows, self.batch_size = rows, check_steps(batch_size, "batch_size")
        self.shuffled, self.seed = shuffle, seed
        self._take = take
        self._passes = itertools.count()
        self._order = self.order(0)

    def __len__(self) -> int:
        return math.ceil(self.rows / (self.batch_size or 1))

    def order(self, number: int) -> np.ndarray:
        """Returns the numbers of the rows in the order of a pass."""
        order = np.arange(self.rows)
        return random_generator(self.seed, number).permutation(order) if self.shuffled else order

    def set_pass(self, number: int) -> None:
        """Makes `dataset[index]` mean the batches of this pass."""
        self._order = self.order(number)

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        return self.item(self._order, index % len(self))

    def __iter__(self) -> Iterator[Any]:
        order = self.order(next(self._passes))
        return (self.item(order, index) for index in range(len(self)))

    def item(self, order: np.ndarray, index: int) -> Any:
        """Returns a batch of rows in a certain order, or a row if they are given one by one."""
        size = self.batch_size
        return self._take(order[index] if size is None else order[index * size :][:size])
