"""Texts noted beside the groups of an HDF5 file: the names of layers, and lists of them.

A text of any length stands in a heap, and any number of places may point to the same one: a list of
4,000 texts of 4 MB each fits into a file of 4 MB. So there is a budget.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count, takewhile
from typing import TYPE_CHECKING

import numpy as np

from kgraph.saving.files.window import Window

if TYPE_CHECKING:
    import h5py

MAX_NAME = 1024
_HEAP = b"GCOL\x01"
_HEADER = 16


class TextReader:
    """Reads attributes that are texts.

    Args:
        data: the file.
        budget: how many bytes of texts may be read from it, all in all.
    """

    def __init__(self, data: Window, budget: int) -> None:
        self._data, self._budget = data, budget
        self._longest: int | None = None

    def one(self, item: h5py.HLObject, name: str) -> str | None:
        """Returns an attribute that is a text of up to 1024 characters; None for anything else."""
        if name not in item.attrs or item.attrs.get_id(name).shape != ():
            return None
        texts = self._read(item, name)
        return texts[0] if texts and len(texts[0]) <= MAX_NAME else None

    def many(self, item: h5py.HLObject, name: str) -> list[str] | None:
        """Returns an attribute that lists texts (split over `name0`, `name1` if it is long).

        Raises:
            ValueError: they are no texts, or more of them than the file can hold.
        """
        pieces = takewhile(item.attrs.__contains__, (f"{name}{i}" for i in count()))
        parts = [name] if name in item.attrs else list(pieces)
        if not parts:
            return None
        lists = [self._read(item, part) for part in parts]
        if None in lists:
            raise ValueError(f"{name} lists what are no texts")
        return [text for texts in lists for text in texts or ()]

    def _read(self, item: h5py.HLObject, name: str) -> list[str] | None:
        """Returns the texts in one attribute; None if they are none."""
        attribute = item.attrs.get_id(name)
        any_length = (attribute.dtype.metadata or {}).get("vlen") in (str, bytes)
        if 0 in (attribute.shape or ()):
            return []  # of any dtype: this is what h5py makes of an empty list
        if attribute.dtype.kind != "S" and not any_length:
            return None
        most = self._longest_text() if any_length else attribute.dtype.itemsize
        if math.prod(attribute.shape or ()) * most > self._budget:
            raise ValueError("more text than the file can hold")
        items = np.asarray(item.attrs[name]).ravel().tolist()
        if not all(isinstance(text, (bytes, str)) for text in items):  # none at all, that is
            return None
        self._budget -= sum(map(len, items))
        return [t.decode("utf-8", "surrogateescape") if isinstance(t, bytes) else t for t in items]

    def _longest_text(self) -> int:
        if self._longest is None:
            self._longest = max(_sizes_in_heaps(self._data), default=0)
        return self._longest


def _sizes_in_heaps(data: Window) -> Iterator[int]:
    """Yields the size of each object in the heaps of a file.

    Source: the HDF5 File Format Specification, section III.E.
    """
    start = data.find(_HEAP, 0)
    while start >= 0:
        end = min(start + _length_at(data, start + 8), data.size)
        at = start + _HEADER
        while at + _HEADER <= end:
            free, size = data.part(at, at + 2) == b"\0\0", _length_at(data, at + 8)
            yield size
            at += max(_HEADER, size) if free else _HEADER + size + -size % 8
        start = data.find(_HEAP, start + 1)


def _length_at(data: Window, at: int) -> int:
    return int.from_bytes(data.part(at, at + 8), "little")
