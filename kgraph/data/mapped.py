"""A dataset whose batches pass through a function, such as the lookup of words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kgraph.data.arrays import is_array
from kgraph.data.iterable_source import open_iterable
from kgraph.data.iterator_state import Place, place_of
from kgraph.data.kinds import gives_by_number
from kgraph.data.py_dataset import PyDataset
from kgraph.errors import DataError


def mapped(dataset: Any, function: Callable[..., Any]) -> Any:
    """Returns a dataset of what a function makes of each batch of another dataset.

    Nothing is computed before a batch is asked for. The result can do what the base can: be read
    again, be asked for batches by number (so that training can be resumed in the middle, and
    threads can work ahead), tell its position (as grain's iterators do), or, for a generator, be
    read once.

    Args:
        dataset: a `PyDataset`, a list of batches, a function that makes a generator, a generator,
            or any other iterable of batches (of a torch `DataLoader`, `tf.data`, ...).
        function: gets a batch and returns one. A batch that is a tuple is spread over its
            parameters: `lambda x, y: (vectorize(x), y)`.

    Raises:
        DataError: `dataset` is an array or data that is not in batches.

    >>> batches = [(["a b", "b"], [0, 1]), (["a"], [1])]
    >>> for x, y in mapped(batches, lambda texts, y: ([len(text) for text in texts], y)):
    ...     print(x, y)
    [3, 1] [0, 1]
    [1] [1]
    """
    if not callable(function):
        raise DataError("mapped needs a function of a batch", received=type(function).__name__)
    if _is_data(dataset):
        raise DataError(
            "mapped takes a dataset of batches",
            expected="a PyDataset, a list of tuples, a generator, or another iterable of batches",
            received=type(dataset).__name__,
            hint="apply the function to the whole data: x = function(x)",
        )
    if gives_by_number(dataset):
        by_pass = hasattr(dataset, "set_pass")
        return (_MappedByPass if by_pass else _MappedByNumber)(dataset, function)
    if isinstance(dataset, Iterator):
        return _mapped_iterator(dataset, function)
    if hasattr(dataset, "set_epoch") and hasattr(dataset, "load_state_dict"):
        return _MappedEpochs(dataset, function)
    return (_Mapped if hasattr(dataset, "__len__") else _MappedOpen)(dataset, function)


def _mapped_iterator(iterator: Iterator[Any], function: Callable[..., Any]) -> Iterator[Any]:
    place = place_of(iterator)
    if place is not None:
        return _MappedIterator(iterator, function, place)
    return (_apply(function, batch) for batch in iterator)


class _MappedIterator:
    """Maps an iterator that can tell, and go to, its position."""

    def __init__(self, iterator: Any, function: Callable[..., Any], place: Place) -> None:
        self._iterator, self._function = iterator, function
        self.get_state, self.set_state = place

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return _apply(self._function, next(self._iterator))


class _MappedOpen:
    """Maps what can be iterated again and again."""

    def __init__(self, dataset: Any, function: Callable[..., Any]) -> None:
        self._dataset, self._function = dataset, function

    def __iter__(self) -> Iterator[Any]:
        return self._kgraph_opened(True)

    def _kgraph_opened(self, followed: bool) -> Iterator[Any]:
        return _mapped_iterator(open_iterable(self._dataset, followed), self._function)


class _Mapped(_MappedOpen):
    """Maps what knows its number of batches, too."""

    def __len__(self) -> int:
        return len(self._dataset)


class _MappedEpochs(_MappedOpen):
    """Maps a stream of Hugging Face: told each epoch, it shuffles anew, and knows where it is."""

    _next = 0

    def _kgraph_opened(self, followed: bool) -> Iterator[Any]:
        self._dataset.set_epoch(self._next)
        self._next += 1
        return super()._kgraph_opened(followed)

    def get_state(self) -> Any:
        return {"pass": self._next, "dataset": self._dataset.state_dict()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._next = state["pass"] - 1
        self._dataset.load_state_dict(state["dataset"])


class _MappedByNumber(PyDataset):
    """Maps what gives its batches by number; its threads, if any, run the function as well."""

    def __init__(self, dataset: Any, function: Callable[..., Any]) -> None:
        super().__init__(
            getattr(dataset, "workers", 1),
            getattr(dataset, "use_multiprocessing", False),
            getattr(dataset, "max_queue_size", 10),
        )
        self._dataset, self._function = dataset, function

    def __getitem__(self, index: int) -> Any:
        return _apply(self._function, self._dataset[index])

    @property
    def num_batches(self) -> int | None:
        if hasattr(self._dataset, "num_batches"):
            return self._dataset.num_batches
        return len(self._dataset)

    def on_epoch_begin(self) -> None:
        getattr(self._dataset, "on_epoch_begin", _nothing)()

    def on_epoch_end(self) -> None:
        getattr(self._dataset, "on_epoch_end", _nothing)()


class _MappedByPass(_MappedByNumber):
    """Maps a dataset that orders its rows itself."""

    def set_pass(self, number: int) -> None:
        self._dataset.set_pass(number)

    def __iter__(self) -> Iterator[Any]:
        return (_apply(self._function, batch) for batch in self._dataset)


def _apply(function: Callable[..., Any], batch: Any) -> Any:
    return function(*batch) if isinstance(batch, tuple) else function(batch)


def _is_data(dataset: Any) -> bool:
    """Tells whether something is data itself, not batches of it."""
    if dataset is None or is_array(dataset) or isinstance(dataset, (str, bytes, Mapping, tuple)):
        return True
    if isinstance(dataset, list):
        return not all(isinstance(batch, tuple) or is_array(batch) for batch in dataset)
    return not (gives_by_number(dataset) or hasattr(dataset, "__iter__") or callable(dataset))


def _nothing() -> None:
    pass
