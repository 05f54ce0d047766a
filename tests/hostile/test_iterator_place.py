"""The place of a tf.data iterator comes from a checkpoint, which may be anybody's."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import pytest

from kgraph.data import tensorflow_iterator
from kgraph.data.tensorflow_iterator import TensorFlowIterator
from kgraph.errors import DataError


@pytest.mark.parametrize("name", ["{}/evil", "../evil", "a/evil", ""])
def test_no_file_is_written_outside_of_the_folder(name: str, tmp_path: Path) -> None:
    iterator = object.__new__(TensorFlowIterator)
    text = base64.b64encode(zlib.compress(b"evil")).decode()
    with pytest.raises(DataError, match="lies outside of its folder"):
        iterator.set_state({"iterator": {name.format(tmp_path): text}, "batches": 0})
    assert not list(tmp_path.iterdir())


def test_a_file_that_grows_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorflow_iterator, "MOST_BYTES", 1000)
    iterator = object.__new__(TensorFlowIterator)
    text = base64.b64encode(zlib.compress(bytes(10**6))).decode()
    with pytest.raises(DataError, match="too large"):
        iterator.set_state({"iterator": {"place.index": text}, "batches": 0})
