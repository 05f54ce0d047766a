"""Checks on data and its options, each with one clear error."""

from __future__ import annotations

import numpy as np

from kgraph.checks import is_whole
from kgraph.data.tree import leaves
from kgraph.errors import DataError
from kgraph.types import Tree

DEFAULT_BATCH_SIZE = 32


def check_rows(*named: tuple[str, Tree], where: str | None = None) -> int:
    """Returns the number of rows that all leaves share.

    Args:
        *named: pairs of a name and a tree of arrays, such as `("x", x)`.
        where: a place to name in messages.

    Raises:
        DataError: if there is no array, no row, or the leaves differ in their rows.
    """
    shapes = [(p, tuple(leaf.shape)) for name, tree in named for p, leaf in leaves(tree, name)]
    if not shapes:
        names = " and ".join(name for name, _ in named)
        raise DataError(f"There is no array in {names}", at=where)
    rows = shapes[0][1][0]
    if rows and all(shape[0] == rows for _, shape in shapes):
        return rows
    lines = [f"{path}: {shape}" for path, shape in shapes]
    if {shape[0] for _, shape in shapes} == {0}:
        raise DataError("The arrays have no rows", at=where, received=lines)
    raise DataError(
        "The arrays differ in their number of rows",
        at=where,
        expected="one length for the first axis of all of them",
        received=lines,
    )


def check_batch_size(value: object) -> int:
    """Returns a batch size; None stands for 32.

    Raises:
        DataError: unless it is a whole number of at least 1.
    """
    return DEFAULT_BATCH_SIZE if value is None else _at_least_one("batch_size", value)


def check_steps(value: object, name: str = "steps_per_epoch") -> int | None:
    """Returns a number of steps, or None for all there are.

    Raises:
        DataError: unless it is None or a whole number of at least 1.
    """
    return None if value is None else _at_least_one(name, value)


def _at_least_one(name: str, value: object) -> int:
    if not is_whole(value, least=1):
        raise DataError(
            f"`{name}` cannot be {value!r}",
            expected="a whole number of at least 1, or None",
            received=f"{value!r} ({type(value).__name__})",
        )
    return int(value)


def check_finite(tree: Tree, what: str) -> None:
    """Raises DataError if a float leaf holds NaN or infinity, naming its path and first bad row.

    Costs one pass over the data; arrays on a device are copied to the host for it.
    """
    for path, leaf in leaves(tree, what):
        array = np.asarray(leaf)
        if array.dtype.kind in "biu":
            continue
        bad = ~np.isfinite(array)
        if bad.any():
            row = int(np.argmax(bad.reshape(len(array), -1).any(axis=1)))
            raise DataError(
                f"{path} holds NaN or infinity",
                expected="finite numbers",
                received=f"{int(bad.sum())} of {array.size} values, the first in row {row}",
            )
