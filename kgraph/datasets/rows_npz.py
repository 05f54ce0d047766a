"""Numbers in `x` and `y` of one file, split into training and test rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kgraph.datasets.word_lists import shuffled
from kgraph.errors import DataError

Split = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def load_split(path: Path, test_split: float, seed: int, most: int | None = None) -> Split:
    """Returns the rows of a file in an order that the seed decides, the last for the test.

    Args:
        path: an `.npz` file.
        test_split: part of the rows for the test, at least 0 and below 1.
        seed: of the order, which is that of Keras.
        most: rows to use; None for all.

    Raises:
        DataError: `test_split` is out of range, or it is another file.
    """
    if not 0 <= test_split < 1:
        raise DataError("`test_split` is at least 0 and below 1", received=repr(test_split))
    with np.load(path, allow_pickle=False) as arrays:
        if missing := [name for name in ("x", "y") if name not in arrays]:
            raise DataError("This is not the expected file", at=path, received=f"no {missing[0]}")
        x, y = arrays["x"][:most], arrays["y"][:most]
    order = shuffled(len(x), np.random.RandomState(seed))
    held = int(len(x) * (1 - test_split))
    train, test = order[:held], order[held:]
    return (x[train], y[train]), (x[test], y[test])
