"""Calls of a model on few rows, padded so that few executables serve all of them."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from kgraph.compiler import Program
from kgraph.graph.structure import leaves, map_structure
from kgraph.training.device_rows import is_on_host
from kgraph.training.padding import padding_is_exact
from kgraph.training.sizes import Sizes

_FEW = 32


class FewRows:
    """Pads what a model is called on, where the rows do not depend on each other.

    The first number of rows is taken as it is. Others, up to 32, are padded to it or to 32, by the
    host, which compiles nothing for that.

    Args:
        program: what runs.
    """

    def __init__(self, program: Program) -> None:
        self._pads = program.mesh is None and padding_is_exact(program, None, False)
        self._sizes = Sizes(steps=(_FEW,), most_padded=_FEW)

    def padded(self, inputs: Any) -> tuple[Any, int | None]:
        """Returns inputs and how many rows of the outputs count; None for all."""
        arrays = list(leaves(inputs)) if self._pads else []
        counts = {np.shape(array)[:1] for array in arrays}
        if len(counts) != 1 or not all(map(is_on_host, arrays)):
            return inputs, None
        rows = next(iter(counts.pop()), 0)
        if not 0 < rows <= _FEW:
            return inputs, None
        more = self._sizes.room(rows) - rows
        if more == 0:
            return inputs, None

        def pad(array: Any) -> Any:
            given = np.asarray(array)
            return _as_before(np.concatenate([given, np.repeat(given[-1:], more, axis=0)]), array)

        return map_structure(pad, inputs), rows


def first_rows(outputs: Any, rows: int) -> Any:
    """Returns arrays (None where there is none) without the rows after the first so many."""

    def cut(array: Any) -> Any:
        if array is None:
            return None
        return _as_before(np.asarray(array)[:rows], array) if is_on_host(array) else array[:rows]

    return map_structure(cut, outputs)


def _as_before(rows: np.ndarray, array: Any) -> Any:
    """Returns rows on the device that an array was put on, if somebody has said one."""
    is_placed = isinstance(array, jax.Array) and array.committed
    return jax.device_put(rows, array.sharding if is_placed else None)
