"""The right source for whatever the user passed."""

from __future__ import annotations

from typing import Any

from kgraph.data.array_source import ArraySource, Shuffle
from kgraph.data.batch import ClassWeight
from kgraph.data.indexed_source import IndexedSource
from kgraph.data.iterable_source import IterableSource
from kgraph.data.kinds import gives_by_number, is_dataset, refuse_with_dataset
from kgraph.data.source import Source
from kgraph.errors import DataError
from kgraph.types import Tree


def make_source(
    x: Any,
    y: Tree = None,
    sample_weight: Tree = None,
    batch_size: int | None = None,
    shuffle: Shuffle = True,
    steps_per_epoch: int | None = None,
    class_weight: ClassWeight | None = None,
    seed: int = 0,
) -> Source:
    """Returns the source of batches for arrays, a `PyDataset`, a generator or any other dataset.

    Args:
        x: arrays (see `as_arrays`) or a dataset (see `is_dataset`).
        y: targets, with arrays only.
        sample_weight: weights of rows, with arrays only.
        batch_size: rows per batch, with arrays only; see `ArraySource`.
        shuffle: for arrays see `ArraySource`; a `PyDataset` gives its batches in a new order for
            each pass; other datasets keep their order.
        steps_per_epoch: batches per epoch; None is all there are.
        class_weight: weights of classes.
        seed: of the shuffling.

    Raises:
        DataError: if the arguments do not fit each other.
    """
    if x is None:
        raise DataError("There are no data: x is None")
    if not is_dataset(x):
        return ArraySource(
            x, y, sample_weight, batch_size, shuffle, seed, steps_per_epoch, class_weight
        )
    if batch_size is not None:  # 0 is a mistake here as well
        refuse_with_dataset(x, batch_size=str(batch_size))
    refuse_with_dataset(x, y=y, sample_weight=sample_weight)
    if gives_by_number(x):
        return IndexedSource(x, shuffle, seed, steps_per_epoch, class_weight)
    return IterableSource(x, steps_per_epoch, class_weight)
