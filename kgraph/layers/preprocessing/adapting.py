"""`adapt`: what a preprocessing layer learns from data before training, on the host.

A layer that adapts extends `_AdaptiveLayer` and says how a summary of data begins, how it takes in
a batch, and what the layer becomes by it. `batches` gives the batches of whatever the user has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count, islice
from typing import Any

import numpy as np

from kgraph.data import is_dataset
from kgraph.data.arrays import is_array
from kgraph.data.kinds import gives_by_number
from kgraph.errors import DataError, NotYetError, StateError
from kgraph.layers.base import Layer
from kgraph.layers.base.core import label_of


class _AdaptiveLayer(Layer):
    """Base of layers with `adapt`.

    A subclass writes `start_summary`, `add_to_summary` and `use_summary`. The layer itself changes
    in `use_summary` alone, so an error in the middle of the data leaves it as it was.
    """

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learns from data, in place of what was learned before.

        Args:
            data: an array, nested lists, a list of arrays (batches), or a dataset: a `PyDataset`, a
                generator, an iterable, a function that returns one. Of batches (x, y) x is read.
            steps: how many batches to read at most; needed for datasets without end.

        Raises:
            DataError: there is no batch, or one is not what the layer can read.
        """
        summary, seen = self.start_summary(), 0
        for batch in batches(label_of(self), data, steps):
            summary = self.add_to_summary(summary, batch)
            seen += batch.size
        if not seen:
            raise DataError(
                f"{label_of(self)} cannot adapt to empty data",
                expected="at least one value",
                hint="a generator that was used before has nothing left; make a new one",
            )
        self.use_summary(summary)

    def start_summary(self) -> Any:
        """Returns the summary of no data."""
        raise _not_written(self, "start_summary")

    def add_to_summary(self, summary: Any, batch: np.ndarray) -> Any:
        """Returns the summary of the data before and this batch."""
        raise _not_written(self, "add_to_summary")

    def use_summary(self, summary: Any) -> None:
        """Makes the layer what the summary says."""
        raise _not_written(self, "use_summary")


def batches(owner: str, data: Any, steps: int | None = None) -> Iterator[np.ndarray]:
    """Yields what a user gives to `adapt` as NumPy arrays of numbers or text, batch by batch.

    Dtypes stay as they are; lists of texts become arrays of NumPy's text type. See
    `_AdaptiveLayer.adapt` for the kinds of data.

    Args:
        owner: whom errors speak of (`label_of(layer)`).
        data: the data.
        steps: how many batches to read at most.

    Raises:
        DataError: data of another kind, or something in it that is no array.

    >>> [batch.tolist() for batch in batches("x", [np.array([1, 2]), np.array([3])])]
    [[1, 2], [3]]
    >>> [batch.tolist() for batch in batches("x", ["one", "two"])]
    [['one', 'two']]
    """
    for i, item in enumerate(islice(items(owner, data, steps), steps)):
        x = item[0] if isinstance(item, tuple) and item else item  # of (x, y): x
        yield _as_array(x, f"{owner} cannot read batch {i} of the data")


def numbers(owner: str, batch: np.ndarray) -> np.ndarray:
    """Returns a batch in float64, in which sums over much data stay exact.

    Raises:
        DataError: it does not hold numbers, or holds some that are not finite.
    """
    try:
        if batch.dtype.kind in "USO":  # text that spells numbers is text all the same
            raise TypeError
        wide = batch.astype(np.float64)
    except TypeError:
        raise DataError(
            f"{owner} adapts to numbers", expected="floats, integers or booleans",
            received=f"dtype {batch.dtype}",
        ) from None  # fmt: skip
    if not np.isfinite(wide).all():
        raise DataError(
            f"{owner} cannot adapt to values that are not finite",
            received=f"{int((~np.isfinite(wide)).sum())} of {wide.size} are NaN or infinite",
            hint="drop or fill them before",
        )
    return wide


def not_adapted(owner: str, hint: str) -> NotYetError:
    """Returns the error for a layer that is used before it has learned anything."""
    return NotYetError(f"{owner} has not been adapted to data yet", hint=hint)


def items(owner: str, data: Any, steps: int | None) -> Iterator[Any]:
    """Yields what a user gives to `adapt` as it is, batch by batch; see `batches`."""
    several = isinstance(data, tuple) and _holds_arrays(data)  # (x, y), most likely
    if data is None or isinstance(data, Mapping) or several:
        raise DataError(
            f"{owner} adapts to one kind of values",
            expected="an array, a list of arrays, or a dataset of batches x or (x, y)",
            received=type(data).__name__,
            hint="pass the features alone, one array for each layer",
        )
    if not is_dataset(data):
        return iter(data if isinstance(data, list) and _holds_arrays(data) else [data])
    source: Any = data
    if gives_by_number(source):
        total = source.num_batches if hasattr(source, "num_batches") else len(source)
        if total is None and steps is None:
            raise DataError(f"{owner} was given data without end", hint="say how much: steps=...")
        return (source[i] for i in (count() if total is None else range(total)))
    if hasattr(source, "as_numpy_iterator"):  # tf.data
        return source.as_numpy_iterator()
    return iter(source if isinstance(source, Iterable) else source())


def _holds_arrays(data: Any) -> bool:
    """Tells whether a sequence holds arrays, and not the numbers or texts of one array."""
    return any(is_array(item) and np.ndim(item) for item in data)


def _as_array(value: object, what: str) -> np.ndarray:
    try:
        array = np.asarray(value)
        if array.dtype == object:  # pandas keeps texts so
            array = np.asarray(array.tolist())
        if array.dtype == object:
            raise TypeError("it holds Python objects")
    except (TypeError, ValueError) as error:
        raise DataError(
            what, expected="an array of numbers or of text",
            received=f"{type(value).__name__}: {error}",
            hint="pad sequences of different lengths",
        ) from error  # fmt: skip
    return array


def _not_written(layer: Layer, method: str) -> StateError:
    return StateError(f"{type(layer).__name__} adapts and has to define {method}")
