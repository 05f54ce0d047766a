"""Splitting a data set in two, by rows."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from kgraph.checks import is_whole
from kgraph.data import RowDataset, check_rows, is_dataset
from kgraph.data.tree import map_leaves
from kgraph.errors import ConfigError, DataError

Size = int | float | None
"""A number of rows, or a part of them."""


def split_dataset(
    dataset: Any,
    left_size: Size = None,
    right_size: Size = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: str | None = None,
) -> tuple[Any, Any]:
    """Splits data into the first rows and the last.

    Arrays stay arrays: `x` gives two arrays, `(x, y)` gives two tuples, for `fit(*left)` and
    `validation_data=right`. Anything that gives batches (a `PyDataset`, a list of tuples, a
    generator) is read once, into memory, and gives two datasets with batches of the same size.

    Args:
        dataset: an array, a list, tuple or dict of arrays with the same number of rows, or a
            dataset of batches.
        left_size: rows of the first part, or their share of all; by default what is left.
        right_size: the same of the second part. Both together may leave rows out.
        shuffle: whether the rows are shuffled first.
        seed: of the shuffling, which is then the same each time.
        preferred_backend: None or `"jax"`.

    Raises:
        ConfigError: the sizes do not fit each other or the data, or another backend is asked for.
        DataError: there is nothing to split.

    >>> left, right = split_dataset(np.arange(10), left_size=0.8)
    >>> left.tolist(), right.tolist()
    ([0, 1, 2, 3, 4, 5, 6, 7], [8, 9])
    """
    if preferred_backend not in (None, "jax"):
        raise ConfigError(
            "split_dataset gives arrays and datasets of kgraph",
            expected="preferred_backend None or 'jax'",
            received=repr(preferred_backend),
        )
    batches = is_dataset(dataset)
    arrays, size = _collected(dataset) if batches else (_with_tuples(dataset), 0)
    rows = check_rows(("dataset", arrays))
    left, right = split_sizes(left_size, right_size, rows)
    order = list(range(rows))
    if shuffle:
        random.Random(seed).shuffle(order)
    parts = (order[:left], order[rows - right :])
    halves = tuple(map_leaves(lambda leaf, _, at=part: leaf[at], arrays) for part in parts)
    return halves if not batches else tuple(_in_batches(half, size) for half in halves)  # type: ignore[return-value]


def split_sizes(left: Size, right: Size, rows: int) -> tuple[int, int]:
    """Returns both sizes as numbers of rows; see `split_dataset`."""
    if left is None and right is None:
        raise ConfigError("split_dataset needs `left_size`, `right_size` or both")
    found = [_size(name, size, rows) for name, size in (("left", left), ("right", right))]
    first, second = (rows - other if own is None else own for own, other in zip(found, found[::-1]))  # type: ignore[operator]
    if first + second > rows or first < 1 or second < 1:
        raise ConfigError(
            "These sizes do not split the data into two parts",
            expected=f"at least one row on each side, and at most {rows} together",
            received=f"left_size={left}, right_size={right}: {first} and {second} rows",
        )
    return first, second


def _size(name: str, size: Size, rows: int) -> int | None:
    if size is None:
        return None
    whole = is_whole(size)
    if not (whole and 0 < size < rows) and not (isinstance(size, float) and 0 < size < 1):
        raise ConfigError(
            f"split_dataset cannot use this `{name}_size`",
            expected=f"a whole number from 1 to {rows - 1}, or a float between 0 and 1",
            received=repr(size),
        )
    return int(size) if whole else round(size * rows)


def _with_tuples(arrays: Any) -> Any:
    """Returns arrays in the structure they come in, with tuples for lists."""
    if isinstance(arrays, Mapping):
        return {key: _with_tuples(item) for key, item in arrays.items()}
    if isinstance(arrays, (list, tuple)):
        return tuple(_with_tuples(item) for item in arrays)
    if arrays is None or not hasattr(arrays, "shape"):
        raise DataError(
            "split_dataset takes arrays, or a dataset of batches",
            received=type(arrays).__name__,
            hint="np.asarray(...) makes an array of a list of numbers",
        )
    return arrays


def _collected(dataset: Iterable[Any]) -> tuple[Any, int]:
    """Returns the rows of all batches as one batch, and the number of rows of the first one."""
    opened = dataset() if callable(dataset) and not hasattr(dataset, "__iter__") else dataset
    batches = [_with_tuples(batch) for batch in opened]
    if not batches:
        raise DataError("The dataset has no batch")
    joined = _joined(batches)
    return joined, check_rows(("the first batch", batches[0]))


def _joined(parts: list[Any]) -> Any:
    first = parts[0]
    if isinstance(first, Mapping):
        return {key: _joined([part[key] for part in parts]) for key in first}
    if isinstance(first, tuple):
        return tuple(_joined(list(items)) for items in zip(*parts, strict=True))
    return np.concatenate([np.asarray(part) for part in parts])


def _in_batches(arrays: Any, size: int) -> RowDataset:
    rows = check_rows(("dataset", arrays))
    return RowDataset(rows, lambda at: map_leaves(lambda leaf, _: leaf[at], arrays), size)
