"""The form of a batch: (x, y, sample_weight), with None for what is absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from kgraph.data.arrays import as_arrays
from kgraph.data.checks import check_rows
from kgraph.data.class_weight import class_weights_to_sample_weights
from kgraph.errors import DataError
from kgraph.types import Tree

Batch: TypeAlias = tuple[Tree, Tree, Tree]
"""x, y and sample_weight of some rows; y and sample_weight may be None."""

ClassWeight: TypeAlias = Mapping[int, float]
"""Class number to weight."""


def unpack_x_y_sample_weight(data: Any) -> Batch:
    """Returns (x, y, sample_weight) of `x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

    Raises:
        DataError: for a tuple or list of another length.

    >>> unpack_x_y_sample_weight(("x", "y"))
    ('x', 'y', None)
    """
    if not isinstance(data, (tuple, list)):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise DataError(
            f"A batch cannot be a {type(data).__name__} of {len(data)} items",
            expected="x, (x,), (x, y) or (x, y, sample_weight)",
            received=", ".join(type(item).__name__ for item in data) or "nothing",
            hint="several inputs go into one list or dict: ([a, b], y)",
        )
    x, y, sample_weight = (*data, None, None)[:3]
    return x, y, sample_weight


def pack_x_y_sample_weight(x: Tree, y: Tree = None, sample_weight: Tree = None) -> Any:
    """Returns the shortest form from which `unpack_x_y_sample_weight` gets the same three back."""
    if sample_weight is not None:
        return x, y, sample_weight
    if y is not None:
        return x, y
    return (x,) if isinstance(x, (tuple, list)) else x


def as_batch(
    x: Tree,
    y: Tree = None,
    sample_weight: Tree = None,
    class_weight: ClassWeight | None = None,
    where: str | None = None,
) -> Batch:
    """Returns the three as trees of arrays that agree in their number of rows.

    Args:
        x: the inputs.
        y: the targets, or None.
        sample_weight: the weights of rows, or None.
        class_weight: weights of classes, from which the weights of rows are made.
        where: a place to name in messages, such as `"batch 3"`.

    Raises:
        DataError: if something is not an array, lengths differ, or both kinds of weights are given.
    """
    if class_weight is not None and (y is None or sample_weight is not None):
        raise DataError(
            "`class_weight` cannot be used together with `sample_weight`"
            if y is not None
            else "`class_weight` needs targets (y)",
            at=where,
            hint="multiply the weights of classes into sample_weight" if y is not None else None,
        )
    x = as_arrays(x, "x", where)
    y = as_arrays(y, "y", where)
    sample_weight = as_arrays(sample_weight, "sample_weight", where)
    check_rows(("x", x), ("y", y), ("sample_weight", sample_weight), where=where)
    if class_weight is not None:
        sample_weight = class_weights_to_sample_weights(y, class_weight)
    return x, y, sample_weight
