"""What users pass as text or integers, flat and with its shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any

import numpy as np

from kgraph.data.arrays import is_jax_array
from kgraph.errors import DataError


@dataclass(frozen=True)
class Rows:
    """Values, row after row. A row is the last axis of an array, or a list of any length.

    Attributes:
        values: all values, flat.
        shape: of the array: () for a single value; of lists of different lengths the shape that
            padding to the longest would give.
        lengths: of each row, if they may differ; else None.
    """

    values: Any
    shape: tuple[int, ...]
    lengths: tuple[int, ...] | None = None

    @property
    def number_of_values(self) -> tuple[int, ...]:
        """How many values each row has."""
        if self.lengths is not None:
            return self.lengths
        count = int(np.prod(self.shape[:-1], dtype=np.int64))
        return (self.shape[-1] if self.shape else 1,) * count

    def row_of_each(self) -> np.ndarray:
        """Returns the number of the row in which each value is."""
        counts = self.number_of_values
        return np.repeat(np.arange(len(counts)), counts)

    def split(self) -> Iterator[Any]:
        """Yields the values of each row."""
        stops = list(accumulate(self.number_of_values))
        return (self.values[a:b] for a, b in zip([0, *stops], stops))

    def rectangular(self, owner: str) -> Rows:
        """Returns the rows, if they make an array; a DataError says what else there is."""
        if self.lengths is not None and len(set(self.lengths)) > 1:
            raise DataError(
                f"{owner} gives one number for each value, and these rows make no array",
                expected="rows of one length",
                received=f"rows of {min(self.lengths)} to {max(self.lengths)} values",
                hint='fill them (see mask_token), or use an output_mode such as "multi_hot"',
            )
        return self

    def padded(self, numbers: np.ndarray, width: int | None = None, fill: int = 0) -> np.ndarray:
        """Returns one number for each value as an array: rows filled, and cut, to one width."""
        if width is None and self.lengths is None:
            return numbers.reshape(self.shape)
        width = self.shape[-1] if width is None else width
        rows = self.row_of_each()
        starts = np.cumsum((0, *self.number_of_values))[:-1]
        columns = np.arange(len(numbers)) - starts[rows]
        kept = columns < width
        made = np.full((len(starts), width), fill, numbers.dtype)
        made[rows[kept], columns[kept]] = numbers[kept]
        return made.reshape(*self.shape[:-1], width)


def read_rows(owner: str, value: object) -> Rows:
    """Returns an array-like, nested lists or a single value, flat and with its shape.

    Lists of lists may have different lengths at the innermost level.

    Raises:
        DataError: lists of different depths, or of different lengths further out.

    >>> read_rows("x", [["a", "b"], ["c"]])
    Rows(values=['a', 'b', 'c'], shape=(2, 2), lengths=(2, 1))
    """
    if not isinstance(value, (list, tuple)):
        array = np.asarray(value)
        return Rows(array.ravel(), array.shape)
    if not any(_has_items(item) for item in value):
        return Rows(list(value), (len(value),))
    parts = [read_rows(owner, item) for item in value]
    values = list(chain.from_iterable(part.values for part in parts))
    shapes = {part.shape for part in parts}
    if len(shapes) == 1 and all(part.lengths is None for part in parts):
        return Rows(values, (len(parts), *parts[0].shape))
    if any(len(part.shape) != 1 for part in parts):
        raise DataError(
            f"{owner} cannot read lists of this form",
            expected="values, a list of values, or a list of lists",
            received=f"items of shapes {', '.join(map(str, sorted(shapes)[:4]))}",
            hint="rows may differ in length, but not in depth",
        )
    lengths = tuple(len(part.values) for part in parts)
    return Rows(values, (len(parts), max(lengths)), lengths)


def _has_items(item: object) -> bool:
    return isinstance(item, (list, tuple)) or getattr(item, "ndim", 0) > 0


def texts(owner: str, values: Any, encoding: str = "utf-8") -> list[str]:
    """Returns values as `str`; bytes are decoded.

    Raises:
        DataError: a value is no text, or bytes have another encoding.
    """
    if (isinstance(values, np.ndarray) and values.dtype.kind in "biufc") or is_jax_array(values):
        raise _no_text(owner, f"an array of {values.dtype}", None)
    found = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if set(map(type, found)) <= {str}:
        return found
    for i, item in enumerate(found):
        if isinstance(item, bytes):
            found[i] = _decoded(owner, item, encoding, i)
        elif isinstance(item, str):
            found[i] = str(item)
        else:
            hint = "fill missing values before, with '' for example" if item != item else None
            raise _no_text(owner, f"{item!r} ({type(item).__name__}) at position {i}", hint)
    return found


def _decoded(owner: str, item: bytes, encoding: str, place: int) -> str:
    try:
        return item.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{owner} cannot read the bytes at position {place}",
            expected=f"text in {encoding}",
            received=str(error),
            hint="say how the text was written: encoding=...",
        ) from error


def _no_text(owner: str, received: str, hint: str | None) -> DataError:
    return DataError(
        f"{owner} reads text", expected="str, or arrays or lists of str", received=received,
        hint=hint,
    )  # fmt: skip


def integers(owner: str, values: Any) -> np.ndarray:
    """Returns values as a flat array of int64.

    Raises:
        DataError: a value is no whole number, or too large.
    """
    array = np.asarray(values)
    if array.size == 0:
        return np.zeros(0, np.int64)
    wrong = None
    if array.dtype.kind in "iub":
        whole = array.astype(np.int64)
        wrong = whole != array if array.dtype == np.uint64 else None
    elif array.dtype.kind == "f" and np.isfinite(array).all() and (np.abs(array) < 2**63).all():
        whole = array.astype(np.int64)
        wrong = whole != array
    else:
        whole, wrong = array, np.ones(array.shape, bool)
    if wrong is not None and wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{owner} reads integers",
            expected="whole numbers of at most 64 bits",
            received=f"{array.flat[place]!r} at position {place}",
            hint="StringLookup reads text" if array.dtype.kind in "USTO" else None,
        )
    return whole


def concatenated(rows: Sequence[Sequence[Any]]) -> Rows:
    """Returns lists of any lengths as rows."""
    lengths = tuple(map(len, rows))
    values = list(chain.from_iterable(rows))
    return Rows(values, (len(lengths), max(lengths, default=0)), lengths)
