"""Batches of arrays, shuffled by a pure function of (seed, epoch)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from kgraph.data.arrays import is_jax_array
from kgraph.data.batch import Batch, ClassWeight, as_batch
from kgraph.data.checks import check_batch_size, check_rows, check_steps
from kgraph.data.source import random_generator, span, warn_short
from kgraph.data.tree import map_leaves
from kgraph.errors import check_choice
from kgraph.types import AnyArray, Tree

Shuffle = bool | Literal["batch"]


class ArraySource:
    """Cuts arrays into batches; the last batch of a pass keeps the rows that are left.

    NumPy arrays give NumPy batches (views where rows are in order), JAX arrays give JAX batches.

    Args:
        x: inputs: array-likes in any nesting of lists, tuples and dicts.
        y: targets, or None.
        sample_weight: weights of rows, or None.
        batch_size: rows per batch; None is 32, or with `steps_per_epoch` what makes that many.
        shuffle: True draws a new order of all rows for each pass, `"batch"` one inside each batch,
            False keeps the order.
        seed: of the orders. The order of a pass is a function of the seed and its number alone.
        steps_per_epoch: batches per epoch; a pass over the data then serves several epochs.
        class_weight: weights of classes, in the place of `sample_weight`.

    Raises:
        DataError: if the arrays do not fit each other, or an option has a bad value.
    """

    resumable = True
    exhausted = False

    def __init__(
        self,
        x: Tree,
        y: Tree = None,
        sample_weight: Tree = None,
        batch_size: int | None = None,
        shuffle: Shuffle = True,
        seed: int = 0,
        steps_per_epoch: int | None = None,
        class_weight: ClassWeight | None = None,
    ) -> None:
        check_choice("fit", "shuffle", shuffle, (True, False, "batch"))
        self.arrays: Batch = as_batch(x, y, sample_weight, class_weight)
        self.rows: int = check_rows(*zip(("x", "y", "sample_weight"), self.arrays))
        self._wanted = check_steps(steps_per_epoch)
        if batch_size is None and self._wanted is not None:
            batch_size = -(-self.rows // self._wanted)
        self.batch_size: int = check_batch_size(batch_size)
        self.shuffle: Shuffle = shuffle
        self.seed = seed
        self._total = -(-self.rows // self.batch_size)

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return self._wanted or self._total

    def with_batch_size(self, batch_size: int) -> ArraySource:
        """Returns a source of the same arrays in batches of another size."""
        other = copy.copy(self)
        other.batch_size = check_batch_size(batch_size)
        other._total = -(-other.rows // other.batch_size)
        return other

    def row_order(self, index: int) -> np.ndarray:
        """Returns the row numbers of an epoch's batches in a row, int32 (int64 for huge data).

        Batch i has the rows `[i * batch_size : (i + 1) * batch_size]` of it, so a loop that keeps
        the arrays on a device can gather the batches there.
        """
        number, first, stop = span(index, self._total, self._wanted)
        order = self._pass_order(number)
        return order[first * self.batch_size : min(stop * self.batch_size, self.rows)]

    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        """Yields the batches of one epoch; see `Source.epoch`."""
        order = self.row_order(index)
        for low in range(start * self.batch_size, len(order), self.batch_size):
            yield self._take(order[low : low + self.batch_size])
        self.warn_if_short(index)

    def warn_if_short(self, index: int) -> None:
        """Warns if an epoch has fewer batches than were wanted."""
        _, first, stop = span(index, self._total, self._wanted)
        if self._wanted is not None and stop - first < self._wanted:
            warn_short(index, self._wanted, stop - first, "The next epoch begins the data anew.")

    def _pass_order(self, number: int) -> np.ndarray:
        order = np.arange(self.rows, dtype=np.int32 if self.rows < 2**31 else np.int64)
        if self.shuffle is False:
            return order
        random = random_generator(self.seed, number)
        if self.shuffle is True:
            return random.permutation(order)
        full = self.rows - self.rows % self.batch_size
        inside = random.permuted(order[:full].reshape(-1, self.batch_size), axis=1)
        return np.concatenate([inside.ravel(), random.permutation(order[full:])])

    def _take(self, rows: np.ndarray) -> Batch:
        in_order = self.shuffle is False

        def take(array: AnyArray, _: Any) -> AnyArray:
            if in_order and len(rows) == self.rows:
                return array
            if is_jax_array(array):  # by index always: a slice would compile for each place
                return array[rows]
            if in_order:
                return array[rows[0] : rows[-1] + 1]
            return np.take(array, rows, axis=0)

        return map_leaves(take, self.arrays)
