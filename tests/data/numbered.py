"""Batches that carry a number, and datasets of them."""

from __future__ import annotations

import time

import numpy as np

from kgraph.data import PyDataset


def batch(number, rows=2):
    return np.full((rows, 1), number, "float32"), np.zeros(rows, "float32")


def numbers(batches):
    """The number that `batch` put into each batch."""
    return [int(x[0, 0]) for x, _, _ in batches]


class Numbered(PyDataset):
    def __init__(self, length=5, **options):
        super().__init__(**options)
        self.length, self.calls = length, []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        time.sleep(0.002 * ((7 * index) % 3))  # so that threads would finish out of order
        return batch(index)

    def on_epoch_begin(self):
        self.calls.append("begin")

    def on_epoch_end(self):
        self.calls.append("end")


class Reiterable:
    """Can be iterated again and has no length, as a streaming dataset."""

    def __init__(self, total):
        self.total, self.opened = total, 0

    def __iter__(self):
        self.opened += 1
        return (batch(i) for i in range(self.total))
