"""Telling arrays from datasets, by what an object can do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kgraph.data.arrays import is_array
from kgraph.data.py_dataset import PyDataset
from kgraph.errors import DataError


def is_dataset(x: object) -> bool:
    """Tells whether `x` gives batches, rather than being arrays to cut into batches.

    Datasets are `PyDataset`s (Keras' too), iterators, any other iterable that is neither an array
    nor a list, tuple or dict of arrays, functions that return an iterable, and lists of batches:
    lists in which each item is a tuple of arrays.

    Raises:
        DataError: for a dataset of Hugging Face, which has columns, and no x and y.
    """
    if _is_hugging_face(x):
        raise DataError(
            f"{type(x).__name__} of Hugging Face has columns, and no x and y",
            expected="batches (x, y)",
            hint='kgraph.data.from_hugging_face(dataset, columns="image", label_cols="label")',
        )
    if x is None or is_array(x) or isinstance(x, (str, bytes, Mapping)):
        return False
    if isinstance(x, list):
        return bool(x) and all(isinstance(item, tuple) and _holds_arrays(item) for item in x)
    if isinstance(x, tuple):
        return False
    return gives_by_number(x) or isinstance(x, Iterable) or callable(x)


def gives_by_number(x: object) -> bool:
    """Tells whether a dataset gives its batches by number, as a `PyDataset` does.

    Raises:
        DataError: for a torch dataset, whose items are single rows.
    """
    if isinstance(x, PyDataset):
        return True
    if isinstance(x, (list, tuple)) or not hasattr(x, "__getitem__") or _is_hugging_face(x):
        return False
    if any(cls.__module__.startswith("torch.utils.data") for cls in type(x).__mro__):
        raise DataError(
            f"{type(x).__name__} is a torch dataset of single rows",
            expected="batches",
            hint="wrap it: torch.utils.data.DataLoader(dataset, batch_size=...)",
        )
    if hasattr(x, "num_batches") or hasattr(x, "on_epoch_end"):
        return True
    return hasattr(x, "__len__") and not hasattr(x, "__iter__")


def _is_hugging_face(x: object) -> bool:
    """Tells a dataset of the library `datasets`, whose streams are torch's where torch is."""
    return type(x).__module__.partition(".")[0] == "datasets"


def refuse_with_dataset(x: object, **options: object) -> None:
    """Raises DataError if `x` is a dataset and an option is given that only arrays can have.

    Args:
        x: what the user passed as x.
        **options: by name; None, 0 and 0.0 count as not given.
    """
    given = [
        name for name, value in options.items() if value is not None and (is_array(value) or value)
    ]
    if given and is_dataset(x):
        kind = getattr(x, "__name__", type(x).__name__)
        raise DataError(
            f"{' and '.join(f'`{name}`' for name in given)} cannot be given with a dataset",
            expected="batches (x, y) or (x, y, sample_weight) from the dataset itself",
            received=f"x is a dataset ({kind})",
        )


def _holds_arrays(item: object) -> bool:
    if isinstance(item, Mapping):
        return bool(item) and all(map(_holds_arrays, item.values()))
    if isinstance(item, (list, tuple)):
        return bool(item) and all(part is None or _holds_arrays(part) for part in item)
    return is_array(item) and getattr(item, "ndim", 1) > 0
