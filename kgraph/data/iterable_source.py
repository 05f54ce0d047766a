"""Batches from generators, iterators, lists of batches and datasets of other libraries."""

from __future__ import annotations

import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from kgraph.data.batch import Batch, ClassWeight, as_batch, unpack_x_y_sample_weight
from kgraph.data.checks import check_steps
from kgraph.data.iterator_state import decode_state, encode_state, place_of
from kgraph.data.source import warn_short
from kgraph.data.tensorflow_iterator import iterator_of
from kgraph.data.tree import map_leaves
from kgraph.errors import DataError
from kgraph.source import warn
from kgraph.types import AnyArray

_END = object()


class IterableSource:
    """Takes batches from an iterable, as they come.

    What can be iterated again (a list of batches, a torch `DataLoader`, a `tf.data` or grain
    dataset, a function that makes a generator) is, for each pass. A generator or another iterator
    is used up across the epochs; `exhausted` says when it has ended. Iterators and datasets with
    `get_state` and `set_state`, as grain's have, or `state_dict` and `load_state_dict`, as torch
    calls them, tell where they are, and go there; tf.data's do by TensorFlow's own checkpoints.

    Args:
        iterable: yields x, (x,), (x, y) or (x, y, sample_weight); or a function without arguments
            that returns such an iterable.
        steps_per_epoch: batches per epoch. The iteration goes on in the next epoch; data that can
            be iterated again begin anew when they end.
        class_weight: weights of classes.

    Fields:
        followed: whether `get_position` will be asked. Some iterators (tf.data's) take milliseconds
            for each pass to be able to answer.

    Raises:
        DataError: (from `epoch`) if there is no batch at all, a batch is malformed, or an iterator
            is asked for a place that it cannot go to. An exception of the iterable itself arrives
            unchanged.
    """

    rows = None
    batch_size = None

    def __init__(
        self,
        iterable: Iterable[Any] | Callable[[], Iterable[Any]],
        steps_per_epoch: int | None = None,
        class_weight: ClassWeight | None = None,
    ) -> None:
        self._iterable = iterable
        self._wanted = check_steps(steps_per_epoch)
        self._class_weight = class_weight
        self._once = isinstance(iterable, Iterator)
        self._length = _length(iterable)
        self._live: Iterator[Any] | None = None
        self._next_index = 0
        self._began = False
        self._restored: Any = None
        self.exhausted = self.followed = False

    def get_position(self) -> Any:
        """Returns the iterator's own state as plain data; None if it has none.

        To be asked by whoever takes the batches, after each: it says what comes next.
        """
        place = place_of(self._iterable, self._live)
        return None if place is None else encode_state(place.get())

    def set_position(self, position: object, batches: int) -> None:
        """Makes the next epoch begin where `get_position` was asked, after so many batches.

        An iterator without a place is read and dropped up to there, with a warning. What can be
        iterated again finds its place in `epoch`, which reads one pass at most.
        """
        if position is not None:
            self._restored = position
            return
        warn(
            f"{self._name} cannot tell its position (get_state, set_state): it is read again up to "
            "where training stopped, and has to give the same batches as before",
        )
        if self._once:
            self._live = open_iterable(self._iterable)
            deque(itertools.islice(self._live, batches), maxlen=0)
            self._restored = self._live

    @property
    def resumable(self) -> bool:
        """Whether `epoch` can begin at any place: not in an iterator, which only moves on."""
        return not self._once

    @property
    def steps(self) -> int | None:
        """Batches per epoch; None until the first epoch has shown it, if there is no length."""
        return self._wanted or self._length

    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        """Yields the batches of one epoch; see `Source.epoch`.

        What lies before the place asked for is read and dropped, unless the last epoch ended there.
        """
        given = 0
        if self._restored is not None:
            given = self._go_on(start)
        else:
            self._seek(index, start)
        self._next_index = -1  # an epoch left in the middle makes the next one seek
        for item in self._items(given):
            given += 1
            self._began = True
            if given > start:
                where = f"batch {given - 1} of epoch {index + 1} from {self._name}"
                batch = as_batch(*unpack_x_y_sample_weight(item), self._class_weight, where)
                yield map_leaves(_copy, batch)
        self._next_index = index + 1
        self._report(index, given)

    @property
    def _name(self) -> str:
        return getattr(self._iterable, "__name__", type(self._iterable).__name__)

    def _go_on(self, start: int) -> int:
        """Puts the iterator where `set_position` wants it; returns how many items were before."""
        restored, self._restored = self._restored, None
        self._began = True
        if restored is not self._live:
            try:
                place = place_of(self._iterable)  # torch's has to be told before it is opened
                if place is None:
                    self._live = open_iterable(self._iterable)
                    place = place_of(self._live)
                assert place is not None, "it has no set_state"
                place.set(decode_state(restored))
            except Exception as error:
                raise DataError(
                    f"{self._name} cannot go on where it was when the checkpoint was saved",
                    received=str(error).strip()[:500] or type(error).__name__,
                    hint="give fit the data that it had, made in the same way",
                ) from error
        return start

    def _items(self, given: int = 0) -> Iterator[Any]:
        """Yields the items of the next epoch, of which some were given, going on in `_live`."""
        fresh = self._live is None
        while self._wanted is None or given < self._wanted:
            if self._live is None:
                self._live = open_iterable(self._iterable, self.followed)
            item = next(self._live, _END)
            if item is not _END:
                given += 1
                yield item
                continue
            self._live = None
            if given or fresh or self._once:
                return
            fresh = True  # the last epoch had used the pass up to its end

    def _seek(self, index: int, start: int) -> None:
        if self._once:
            if start:
                raise DataError(
                    f"An epoch of {self._name} cannot begin at batch {start}: "
                    "an iterator only moves on",
                    hint="pass a function that makes the generator, a PyDataset, or arrays",
                )
        elif self._wanted is None:
            self._live = None
        elif self._next_index != index:
            self._live = None
            earlier = index % -(-self._length // self._wanted) if self._length else index
            for _ in range(earlier):
                deque(self._items(), maxlen=0)

    def _report(self, index: int, given: int) -> None:
        """Tells the user, and `exhausted`, about an epoch that ended early."""
        if given == 0 and not self._began:
            raise DataError(
                f"{self._name} gave no batch",
                expected="at least one: x, (x, y) or (x, y, sample_weight)",
                hint="a generator that was used before has nothing left; make a new one",
            )
        short = self._wanted is not None and given < self._wanted
        self.exhausted = given == 0 or (self._once and (short or self._wanted is None))
        if short or given == 0:
            hint = "The next epoch begins the data anew."
            if self.exhausted:
                hint = (
                    "Training stops; make the generator endless, or pass a function that makes it."
                )
            warn_short(index, self._wanted, given, hint)
        elif self._wanted is None:
            self._length = given


def _copy(array: AnyArray, path: str) -> AnyArray:
    """Copies what the iterable may write into before a device, which may read it there, has."""
    return array.copy() if isinstance(array, np.ndarray) else array


def open_iterable(iterable: Any, followed: bool = True) -> Iterator[Any]:
    """Returns an iterator, which can tell its place if that is `followed` (and it can at all)."""
    opened: Any = iterable
    if hasattr(iterable, "as_numpy_iterator"):  # tf.data
        opened = iterator_of(iterable) if followed else iterable.as_numpy_iterator()
    elif hasattr(iterable, "_kgraph_opened"):  # mapped
        opened = iterable._kgraph_opened(followed)
    elif callable(iterable) and not hasattr(iterable, "__iter__"):
        opened = iterable()
    return iter(opened)


def _length(iterable: Any) -> int | None:
    if isinstance(iterable, Iterator) or not hasattr(iterable, "__len__"):
        return None
    try:
        length = len(iterable)
    except TypeError:  # what tf.data and DataLoader raise where they do not know
        return None
    return length if 0 < length < sys.maxsize else None  # sys.maxsize: grain's endless repeat
