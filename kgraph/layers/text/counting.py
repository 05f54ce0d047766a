"""How often values occur, and in how many documents."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from kgraph.layers.text.rows import Rows


class Counts:
    """Counts of values over rows. Each row is a document.

    Args:
        by_document: whether to count documents as well.
    """

    def __init__(self, by_document: bool) -> None:
        self.totals: Counter[Any] = Counter()
        self.containing: Counter[Any] | None = Counter() if by_document else None
        self.documents = 0

    def add(self, rows: Rows) -> None:
        """Counts in the values of some rows."""
        values = rows.values.tolist() if isinstance(rows.values, np.ndarray) else rows.values
        self.totals.update(values)
        self.documents += len(rows.number_of_values)
        if self.containing is not None:
            for row in Rows(values, rows.shape, rows.lengths).split():
                self.containing.update(set(row))

    def ranked(self, without: set[Any], limit: int | None) -> list[Any]:
        """Returns the values, the most frequent first, of equally frequent ones the larger first.

        Args:
            without: values that are left out.
            limit: how many to return at most.
        """
        found = [(count, value) for value, count in self.totals.items() if value not in without]
        return [value for _, value in sorted(found, reverse=True)[:limit]]

    def idf_weights(self, values: list[Any]) -> np.ndarray:
        """Returns log(1 + documents / (1 + documents with the value)) of each value."""
        counts = self.containing or Counter()
        with_value = np.array([counts[value] for value in values], np.float64)
        return np.log1p(self.documents / (1 + with_value))
