"""Iterators of tf.data that tell where they are, by TensorFlow's own checkpoints of them."""

from __future__ import annotations

import base64
import itertools
import sys
import tempfile
import time
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kgraph.errors import DataError
from kgraph.source import warn
from kgraph.writing import write_file

_SHARE = 100
"""How many times longer than it takes to write the state down it serves, at least."""
_LARGEST = 2**22
"""Characters of a state that is written down anew; a full buffer of `shuffle` may have more."""

MOST_BYTES = 2**30
"""How large a file of a state may be when it is unpacked: a checkpoint may be anybody's."""


def iterator_of(dataset: Any) -> Iterator[Any]:
    """Returns what gives the batches of a tf.data dataset as NumPy arrays.

    It has a place, unless there is something in the dataset that TensorFlow cannot write down (a
    function in Python).
    """
    arrays = dataset.as_numpy_iterator()
    tensorflow: Any = sys.modules.get("tensorflow")
    if tensorflow is None:
        return iter(arrays)
    try:
        return TensorFlowIterator(tensorflow, dataset, arrays)
    except tensorflow.errors.OpError:
        return arrays


class TensorFlowIterator:
    """An iterator with `get_state` and `set_state`: a checkpoint, and the batches since then.

    To write the state down takes milliseconds, and the buffer of a shuffle is part of it. So that
    is done when a pass begins, where buffers are empty; in an endless one again, when the batches
    since then have taken much longer. (After a state from the end of a first pass, TensorFlow 2.21
    shuffles the next one in another way.) Batches since then are read again, in the same order.

    Args:
        tensorflow: the module.
        dataset: that it goes through.
        arrays: goes through it.
    """

    def __init__(self, tensorflow: Any, dataset: Any, arrays: Iterator[Any]) -> None:
        self._tensorflow, self._dataset, self._arrays = tensorflow, dataset, arrays
        self._since, self._told = 0, False
        self._base, self._due = self._written()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        batch = next(self._arrays)
        self._since += 1
        return batch

    def get_state(self) -> dict[str, Any]:
        """Returns where it is."""
        if not self._told and _has_unseeded_shuffle(self._dataset):
            warn(
                "This tf.data dataset shuffles without a seed, so another process cannot give its "
                "batches in the same order: shuffle(..., seed=1)",
            )
        self._told = True
        endless = self._dataset.cardinality() == self._tensorflow.data.INFINITE_CARDINALITY
        if endless and time.monotonic() > self._due:
            base, self._due = self._written()
            if sum(map(len, base.values())) <= _LARGEST:
                self._base, self._since = base, 0
            else:
                self._due = float("inf")
        return {"iterator": self._base, "batches": self._since}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes to where `get_state` was asked, of the same dataset."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in state["iterator"].items():
                if not name or Path(name).name != name:
                    raise DataError(
                        "A file of the iterator's place lies outside of its folder",
                        received=repr(name),
                    )
                write_file(Path(folder, name), _unpacked(name, text))
            self._checkpoint().read(f"{folder}/place").assert_consumed()
        self._base, self._since = state["iterator"], state["batches"]
        deque(itertools.islice(self._arrays, self._since), maxlen=0)

    def _written(self) -> tuple[dict[str, str], float]:
        """Returns the files of a checkpoint as text, and when it is time for the next."""
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            self._checkpoint().write(f"{folder}/place")
            found = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
        texts = {
            name: base64.b64encode(zlib.compress(data, 1)).decode("ascii")
            for name, data in found.items()
        }
        now = time.monotonic()
        return texts, now + _SHARE * (now - start)

    def _checkpoint(self) -> Any:
        return self._tensorflow.train.Checkpoint(iterator=self._arrays)


def _unpacked(name: str, text: str) -> bytes:
    worker = zlib.decompressobj()
    data = worker.decompress(base64.b64decode(text), MOST_BYTES)
    if worker.unconsumed_tail:
        raise DataError(
            "A file of the iterator's place is too large",
            expected=f"at most {MOST_BYTES:,} bytes", received=name,
        )  # fmt: skip
    return data


def _has_unseeded_shuffle(dataset: Any) -> bool:
    """Tells whether a dataset, or one that it is made of, draws its order anew in each process."""
    seeds = [getattr(dataset, name, None) for name in ("_seed", "_seed2")]
    if all(seed is not None and int(seed) == 0 for seed in seeds):
        return True
    return any(map(_has_unseeded_shuffle, getattr(dataset, "_inputs", tuple)()))
