"""One weight per row from one weight per class."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from kgraph.data.arrays import as_arrays, is_array
from kgraph.data.checks import check_finite
from kgraph.errors import DataError
from kgraph.types import Tree


def class_weights_to_sample_weights(y: Tree, class_weight: Mapping[int, float]) -> np.ndarray:
    """Returns the weight of each row's class; a class that is not listed weighs 1.

    Shapes: labels `[rows]` or `[rows, 1]` are class numbers (floats are rounded), `[rows, classes]`
    is one-hot; the result is `[rows]` in `config.floatx()`.

    Raises:
        DataError: if the weights are not a dict of class number to finite weight of at least 0, or
            the labels are not one such array.

    >>> class_weights_to_sample_weights([0, 1, 2], {0: 5.0, 1: 0.5}).tolist()
    [5.0, 0.5, 1.0]
    """
    classes, weights = _table(class_weight)
    labels = _labels(y)
    # The table is searched, not indexed: labels may be negative or huge.
    place = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    listed = classes[place] == labels
    found = np.take(np.append(weights, 1.0), np.where(listed, place, len(classes)))
    return as_arrays(found, "class_weight")


def _table(class_weight: Any) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(class_weight, Mapping) or not class_weight:
        raise DataError(
            "`class_weight` is not a dict",
            expected="class numbers and their weights, such as {0: 1.0, 1: 5.0}",
            received=repr(class_weight),
            hint="dict(enumerate(weights)) makes one of a list",
        )
    for label, weight in class_weight.items():
        whole = isinstance(label, numbers.Integral)
        if not (whole and isinstance(weight, numbers.Real) and 0 <= float(weight) < math.inf):
            raise DataError(
                f"`class_weight` has a bad entry for {label!r}",
                expected="a whole number and a finite weight of at least 0",
                received=f"{label!r}: {weight!r}",
            )
    ordered = sorted((int(label), float(weight)) for label, weight in class_weight.items())
    classes, weights = zip(*ordered)
    return np.asarray(classes, np.int64), np.asarray(weights, np.float64)


def _labels(y: Any) -> np.ndarray:
    y = as_arrays(y, "y")
    if not is_array(y) or y.ndim > 2:
        shape = tuple(y.shape) if is_array(y) else type(y).__name__
        raise DataError(
            "`class_weight` needs the labels of one output",
            expected="y of shape (rows,), (rows, 1) or one-hot (rows, classes)",
            received=str(shape),
            hint="pass sample_weight instead",
        )
    check_finite(y, "y")
    labels = np.asarray(y)
    if labels.ndim == 2:
        labels = labels[:, 0] if labels.shape[1] == 1 else np.argmax(labels, axis=1)
    whole = labels if labels.dtype.kind in "biu" else np.rint(labels.astype(np.float64))
    return whole.astype(np.int64)
