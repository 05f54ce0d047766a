"""Batches from datasets that give them by number."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from numbered import Numbered, batch, numbers

from kgraph.data import IndexedSource, PyDataset, make_source
from kgraph.data.prefetch import in_order
from kgraph.errors import ConfigError, DataError


@pytest.mark.parametrize("workers", [1, 3])
def test_py_dataset_in_order_with_hooks(workers):
    dataset = Numbered(workers=workers, max_queue_size=2)
    source = make_source(dataset, shuffle=False)
    assert (source.steps, source.rows, source.batch_size, source.resumable) == (5, None, None, True)
    assert numbers(source.epoch(0)) == [0, 1, 2, 3, 4]
    assert numbers(source.epoch(1, start=3)) == [3, 4]
    assert dataset.calls == ["begin", "end"] * 2


def test_py_dataset_is_shuffled_by_seed_and_epoch():
    epochs = [numbers(make_source(Numbered(30), seed=1).epoch(i)) for i in (0, 0, 1)]
    assert epochs[0] == epochs[1] != epochs[2]
    assert sorted(epochs[0]) == list(range(30))
    assert numbers(make_source(Numbered(30), seed=1).epoch(1, start=28)) == epochs[2][28:]


def test_py_dataset_without_end():
    class Endless(Numbered):
        num_batches = None

    with pytest.raises(DataError, match=r"Endless has no end[\s\S]*steps_per_epoch"):
        make_source(Endless())
    source = make_source(Endless(), steps_per_epoch=2)
    assert numbers(source.epoch(0)) + numbers(source.epoch(1)) == [0, 1, 2, 3]


def test_py_dataset_that_forgets_its_base():
    class Forgetful(PyDataset):
        def __init__(self):
            pass

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return batch(index)

    assert numbers(make_source(Forgetful()).epoch(0)) == [0]


def test_py_dataset_says_what_to_define():
    class Bare(PyDataset):
        pass

    with pytest.raises(ConfigError, match=r"Bare has to define __len__"):
        make_source(Bare())
    with pytest.raises(ConfigError, match=r"Bare has to define __getitem__"):
        Bare()[0]


def test_an_empty_py_dataset():
    with pytest.raises(DataError, match="Numbered has no batches"):
        make_source(Numbered(0))


def test_multiprocessing_is_said_not_to_be_used():
    with pytest.warns(UserWarning, match="its workers run in threads"):
        make_source(Numbered(workers=2, use_multiprocessing=True))


def test_any_object_with_a_length_and_items_will_do():
    class Plain:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return batch(index)

    assert isinstance(make_source(Plain()), IndexedSource)
    assert numbers(make_source(Plain(), shuffle=False).epoch(0)) == [0, 1, 2]


def test_torch_datasets_of_rows_are_refused():
    class Rows:
        __module__ = "torch.utils.data.dataset"

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return batch(index)

    with pytest.raises(DataError, match="DataLoader"):
        make_source(Rows())


def test_threads_end_when_a_batch_is_malformed():
    class Malformed(Numbered):
        def __getitem__(self, index):
            return np.zeros(3), np.zeros(2)

    before = threading.active_count()
    with pytest.raises(DataError, match="batch 0 of Malformed") as caught:
        next(make_source(Malformed(50, workers=3), shuffle=False).epoch(0))
    # The error still holds the frame that started the threads.
    assert caught.tb is not None
    assert threading.active_count() == before


def test_batches_that_nobody_waits_for_are_not_made():
    made = []

    def make(key):
        made.append(key)
        time.sleep(0.03)
        return key

    items = in_order(make, range(100), workers=2, ahead=20)
    assert next(items) == 0
    items.close()
    assert len(made) < 10
