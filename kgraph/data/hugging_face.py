"""Datasets of the Hugging Face library `datasets` as batches (x, y)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kgraph.data.checks import check_steps
from kgraph.data.mapped import mapped
from kgraph.data.row_dataset import RowDataset
from kgraph.errors import DataError, check_keys
from kgraph.types import AnyArray

Columns = str | Sequence[str]


def from_hugging_face(
    dataset: Any,
    columns: Columns,
    label_cols: Columns | None = None,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: int = 0,
    workers: int = 1,
) -> Any:
    """Returns the batches of a dataset of the library `datasets`, for `fit` and the others.

    A `Dataset` is asked for rows by their numbers: training goes on in the middle of an epoch, and
    threads can work ahead. An `IterableDataset` is read as it comes, each pass with the next
    epoch's order, and goes on where it was by its own `state_dict`.

    Args:
        dataset: a `datasets.Dataset` or `datasets.IterableDataset` whose columns hold numbers, all
            of one column in the same shape.
        columns: what becomes `x`: one name for an array, several for a dict by name.
        label_cols: what becomes `y`, in the same way; None for no targets.
        batch_size: rows per batch; the last one has what is left.
        shuffle: whether each pass has a new order of rows. An `IterableDataset` shuffles itself:
            `dataset.shuffle(seed=..., buffer_size=...)`.
        seed: of the orders.
        workers: with more than one, batches of a `Dataset` are made ahead by that many threads.

    Raises:
        DataError: it is no such dataset, it has no column of a name, or it is iterable and
            `shuffle` is on.
    """
    if isinstance(dataset, Mapping):
        raise DataError(
            "from_hugging_face takes one dataset",
            received=f"a {type(dataset).__name__} of {', '.join(map(repr, dataset))}",
            hint=f"dataset[{next(iter(dataset), 'train')!r}]",
        )
    if not hasattr(dataset, "with_format") or not hasattr(dataset, "column_names"):
        raise DataError(
            "from_hugging_face takes a dataset of the library datasets",
            expected="a datasets.Dataset or a datasets.IterableDataset",
            received=type(dataset).__name__,
        )
    names = [columns] if isinstance(columns, str) else [*columns]
    if label_cols is not None:
        names += [label_cols] if isinstance(label_cols, str) else [*label_cols]
    if dataset.column_names is not None:  # None: it would have to be read first
        known = dict.fromkeys(dataset.column_names)
        check_keys("The dataset", dict.fromkeys(names), known)
    arrays = dataset.with_format("numpy")

    def batch(rows: Mapping[str, AnyArray]) -> tuple[Any, ...]:
        x = _picked(rows, columns)
        return (x,) if label_cols is None else (x, _picked(rows, label_cols))

    if hasattr(dataset, "__len__"):
        return RowDataset(
            len(dataset), lambda rows: batch(arrays[rows]), batch_size, shuffle, seed, workers
        )
    if shuffle:
        raise DataError(
            "An IterableDataset shuffles itself",
            received="shuffle=True",
            hint="from_hugging_face(dataset.shuffle(seed=0, buffer_size=10_000), ...)",
        )
    return mapped(arrays.batch(check_steps(batch_size, "batch_size")), batch)


def _picked(rows: Mapping[str, AnyArray], columns: Columns) -> Any:
    if isinstance(columns, str):
        return np.asarray(rows[columns])
    return {name: np.asarray(rows[name]) for name in columns}
