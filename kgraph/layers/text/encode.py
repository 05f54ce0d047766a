"""Numbers of values to vectors over the vocabulary, on the host."""

from __future__ import annotations

import numpy as np

from kgraph.layers.text.rows import Rows
from kgraph.types import DTypeLike


def one_hot(rows: Rows, ids: np.ndarray, depth: int, dtype: DTypeLike) -> np.ndarray:
    """Returns a vector with a 1 at the id for each value; an id that is no place gives zeros.

    A last axis of size 1 is dropped. Rows of different lengths are filled with zeros.
    """
    grid = rows.padded(ids, fill=-1)
    if grid.ndim > 1 and grid.shape[-1] == 1:
        grid = grid[..., 0]
    flat = grid.ravel()
    made = np.zeros((flat.size, depth), dtype)
    (kept,) = np.nonzero((flat >= 0) & (flat < depth))
    made[kept, flat[kept]] = 1
    return made.reshape(*grid.shape, depth)


def bags(rows: Rows, ids: np.ndarray, depth: int, count: bool) -> np.ndarray:
    """Returns a vector for each row: which ids it has, or how often. Ids that are no place drop."""
    kept = (ids >= 0) & (ids < depth)
    places = rows.row_of_each()[kept] * depth + ids[kept]
    made = np.zeros(len(rows.number_of_values) * depth, np.float32)
    if count:
        np.add.at(made, places, np.float32(1))
    else:
        made[places] = 1
    return made.reshape(*rows.shape[:-1], depth)
