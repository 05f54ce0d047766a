"""Setting the last rows aside for validation."""

from __future__ import annotations

import math
from typing import Any

from kgraph.checks import is_number
from kgraph.data.checks import check_rows
from kgraph.data.kinds import refuse_with_dataset
from kgraph.data.tree import map_leaves
from kgraph.errors import DataError


def split(arrays: Any, validation_split: float) -> tuple[Any, Any]:
    """Splits trees of arrays into the first rows and the last, before any shuffling.

    Of n rows the last n - floor(n (1 - validation_split)) are for validation.

    Args:
        arrays: a tree of arrays, such as the tuple (x, y, sample_weight); None stays None.
        validation_split: at least 0 and below 1.

    Returns:
        (training, validation): views; validation is None if `validation_split` is 0.

    Raises:
        DataError: if the number is out of range, one side would have no rows, or x is a dataset.
    """
    fraction = check_validation_split(validation_split)
    if fraction == 0:
        return arrays, None
    refuse_with_dataset(arrays[0] if _is_triple(arrays) else arrays, validation_split=fraction)
    named = zip(("x", "y", "sample_weight"), arrays) if _is_triple(arrays) else [("x", arrays)]
    rows = check_rows(*named)
    boundary = math.floor(rows * (1.0 - fraction))
    if boundary in (0, rows):
        raise DataError(
            f"`validation_split={validation_split}` leaves no rows on one side",
            expected="at least one row to train on and one to validate on",
            received=f"{rows} rows: {boundary} to train on, {rows - boundary} to validate on",
        )
    first = map_leaves(lambda leaf, _: leaf[:boundary], arrays)
    return first, map_leaves(lambda leaf, _: leaf[boundary:], arrays)


def check_validation_split(value: Any) -> float:
    """Returns the fraction as a float.

    Raises:
        DataError: unless it is a number of at least 0 and below 1.
    """
    if not is_number(value) or not 0 <= value < 1:
        raise DataError(
            f"`validation_split` cannot be {value!r}",
            expected="a number of at least 0 and below 1",
            received=f"{value!r} ({type(value).__name__})",
        )
    return float(value)


def _is_triple(arrays: Any) -> bool:
    return isinstance(arrays, tuple) and len(arrays) == 3
