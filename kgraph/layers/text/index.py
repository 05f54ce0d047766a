"""Finding values in a vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any

import numpy as np


class TextIndex:
    """Places of texts, by a dictionary.

    >>> TextIndex(["b", "a"]).find(["a", "c"]).tolist()
    [1, -1]
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self._places = {token: i for i, token in enumerate(tokens)}

    def find(self, values: Sequence[str]) -> np.ndarray:
        """Returns the place of each value, -1 for one that is not known."""
        return np.fromiter(map(self._places.get, values, repeat(-1)), np.int64, len(values))


class IntegerIndex:
    """Places of integers, by binary search: on the host, and in traced code.

    >>> IntegerIndex([30, 10]).find(np.array([10, 20])).tolist()
    [1, -1]
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        values = np.asarray(tokens, np.int64)
        self._places = np.argsort(values, kind="stable")
        self._sorted = values[self._places]

    def find(self, values: Any, xp: Any = np) -> Any:
        """Returns the place of each value, -1 for one that is not known.

        Args:
            values: integers of any shape.
            xp: `numpy`, or `jax.numpy` for arrays that may be traced.
        """
        if not len(self._sorted):
            return xp.full_like(values, -1)
        known = xp.asarray(self._sorted, dtype=values.dtype)
        places = xp.asarray(self._places, dtype=values.dtype)
        at = xp.minimum(xp.searchsorted(known, values), len(self._sorted) - 1)
        return xp.where(known[at] == values, places[at], -1)
