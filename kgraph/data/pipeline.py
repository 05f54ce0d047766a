"""The methods of tf.data on datasets of kgraph's own: steps that grain runs, in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from kgraph.config import next_seed
from kgraph.data.checks import check_steps
from kgraph.errors import ConfigError

Step: TypeAlias = Callable[[Any, int], Any]
"""Makes a grain dataset of another one; the number says which pass over the data it is for."""

INFINITE, UNKNOWN = -1, -2
"""What `cardinality` says where there is no number, as in tf.data."""

_THREADS = 4


class Chained:
    """Base of datasets that have tf.data's methods: each returns a dataset with one step more.

    An item is what the dataset yields, so mostly a batch; one that is a tuple is spread over the
    parameters of a function. The methods need grain (`pip install "kgraph-jax[data]"`).
    """

    def map(
        self,
        map_func: Callable[..., Any],
        num_parallel_calls: int | None = None,
        deterministic: bool | None = None,
    ) -> Pipeline:
        """Applies a function to each item, in threads. The order stays, whatever is asked for."""
        del num_parallel_calls, deterministic
        function = _spread(map_func)
        return self._then(lambda data, _: data.map(function))

    def filter(self, predicate: Callable[..., Any]) -> Pipeline:
        """Leaves out the items for which a function says False."""
        keeps = _spread(predicate)
        return self._then(lambda data, _: _opened(data).filter(lambda item: bool(keeps(item))))

    def take(self, count: int) -> Pipeline:
        """Ends after so many items; -1 takes all."""

        def step(data: Any, _: int) -> Any:
            if _is_numbered(data):
                return data.slice(slice(0, None if count < 0 else count))
            return data if count < 0 else _grain().experimental.LimitIterDataset(data, count)

        return self._then(step)

    def skip(self, count: int) -> Pipeline:
        """Leaves out the first items; -1 leaves out all."""

        def step(data: Any, _: int) -> Any:
            if not _is_numbered(data):
                raise ConfigError(
                    "skip comes before filter: nobody knows how many items a filter leaves",
                    hint="dataset.skip(count).filter(predicate)",
                )
            return data.slice(slice(len(data) if count < 0 else count, None))

        return self._then(step)

    def shuffle(
        self,
        buffer_size: int,
        seed: int | None = None,
        reshuffle_each_iteration: bool | None = None,
    ) -> Pipeline:
        """Mixes the items: all of them, which tf.data does not, where their number is known.

        Args:
            buffer_size: how many wait, of items behind a `filter`.
            seed: by default from `set_random_seed`'s stream.
            reshuffle_each_iteration: False gives each pass the same order.
        """
        check_steps(buffer_size, "buffer_size")
        first = sum(next_seed()) if seed is None else seed

        def step(data: Any, number: int) -> Any:
            mixed = (first + (0 if reshuffle_each_iteration is False else number)) % 2**32
            if _is_numbered(data):
                return data.shuffle(seed=mixed)
            window = _grain().experimental.WindowShuffleIterDataset
            return window(data, window_size=buffer_size, seed=mixed)

        return self._then(step)

    def repeat(self, count: int | None = None) -> Pipeline:
        """Begins anew at the end, so many times in all; without end for None or -1."""
        times = None if count == -1 else count

        def step(data: Any, _: int) -> Any:
            if _is_numbered(data):
                return data.repeat(times)
            return _grain().experimental.RepeatIterDataset(data, num_epochs=times)

        return self._then(step)

    def batch(self, batch_size: int, drop_remainder: bool = False) -> Pipeline:
        """Joins items to batches; the last may be smaller."""
        check_steps(batch_size, "batch_size")
        return self._then(lambda data, _: data.batch(batch_size, drop_remainder=drop_remainder))

    def prefetch(self, buffer_size: int | None = None) -> Pipeline:
        """Changes nothing: items are always made ahead of time."""
        del buffer_size
        return self._then(lambda data, _: data)

    def cache(self) -> Pipeline:
        """Keeps the items of the first pass in memory, for all passes."""
        kept: dict[int, Any] = {}

        def step(data: Any, _: int) -> Any:
            if not _is_numbered(data):
                return _grain().experimental.CacheIterDataset(data)
            return _grain().MapDataset.source(_Kept(data, kept))

        return self._then(step)

    def cardinality(self) -> int:
        """Returns the number of items; -1 for a dataset without end, -2 if nobody knows."""
        return self._then(lambda data, _: data).cardinality()

    def _then(self, step: Step) -> Pipeline:
        return Pipeline(self, (step,))


class Pipeline(Chained):
    """A dataset with steps behind it, which run anew in each pass.

    `fit` can be resumed in the middle of it: it tells its place, as grain's iterators do.

    >>> from kgraph.data import RowDataset
    >>> numbers = RowDataset(6, lambda rows: rows, batch_size=2)
    >>> [item.tolist() for item in numbers.map(lambda rows: rows * 10).take(2)]
    [[0, 10], [20, 30]]
    """

    def __init__(self, base: Any, steps: tuple[Step, ...]) -> None:
        self._base, self._steps = base, steps
        self._pass = -1
        self._live: Any = None
        self._place: Any = None
        self._length = self._count()

    def _then(self, step: Step) -> Pipeline:
        return Pipeline(self._base, (*self._steps, step))

    def _chain(self, number: int) -> Any:
        data = _grain().MapDataset.source(_Pass(self._base, number))
        for step in self._steps:
            data = step(data, number)
        return data

    def _count(self) -> int:
        data = self._chain(0)
        if not _is_numbered(data):
            return UNKNOWN
        return len(data) if len(data) < 2**62 else INFINITE

    def cardinality(self) -> int:
        return self._length

    def __len__(self) -> int:
        if self._length < 0:
            raise TypeError("a dataset without end, or behind a filter, has no length")
        return self._length

    def __iter__(self) -> Iterator[Any]:
        if self._place is None:
            self._pass += 1
        self._live = iter(_opened(self._chain(self._pass)))
        if self._place is not None:
            self._live.set_state(self._place)
            self._place = None
        return self._live

    def get_state(self) -> dict[str, Any]:
        """Returns which pass it is, and what comes next in it."""
        return {"pass": self._pass, "place": None if self._live is None else self._live.get_state()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Makes the next iteration go on where `get_state` was asked."""
        self._pass, self._place = state["pass"], state["place"]


class _Pass:
    """The items of one pass over a dataset, by number."""

    def __init__(self, base: Any, number: int) -> None:
        self._base, self._order = base, base.order(number)

    def __len__(self) -> int:
        return len(self._base)

    def __getitem__(self, index: Any) -> Any:
        return self._base.item(self._order, index)


class _Kept:
    """Items that are made once."""

    def __init__(self, data: Any, kept: dict[int, Any]) -> None:
        self._data, self._kept = data, kept

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: Any) -> Any:
        if index not in self._kept:
            self._kept[index] = self._data[index]
        return self._kept[index]


def _spread(function: Callable[..., Any]) -> Callable[[Any], Any]:
    if not callable(function):
        raise ConfigError("A step needs a function of an item", received=repr(function))
    return lambda item: function(*item) if isinstance(item, tuple) else function(item)


def _opened(data: Any) -> Any:
    """Returns a dataset that is read in order, by threads that work ahead."""
    if not _is_numbered(data):
        return data
    ahead = _grain().ReadOptions(num_threads=_THREADS, prefetch_buffer_size=2 * _THREADS)
    return data.to_iter_dataset(ahead)


def _is_numbered(data: Any) -> bool:
    return isinstance(data, _grain().MapDataset)


def _grain() -> Any:
    try:
        import grain
    except ImportError as error:
        raise ConfigError(
            "map, filter and the other steps of a dataset need grain",
            hint='pip install "kgraph-jax[data]"',
        ) from error
    return grain
