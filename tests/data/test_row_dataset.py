"""Datasets that order their rows themselves: every pass anew, the same in any process."""

from __future__ import annotations

import numpy as np
import pytest

from kgraph.data import RowDataset, make_source, mapped
from kgraph.errors import DataError


def rows_of(dataset):
    return [batch.tolist() for batch in dataset]


def source_rows(dataset, epochs, **options):
    source = make_source(dataset, **options)
    return [[x.tolist() for x, _, _ in source.epoch(i)] for i in range(epochs)]


def make(**options):
    return RowDataset(7, lambda rows: np.asarray(rows), batch_size=3, **options)


def test_batches_are_cut_in_order_and_the_last_one_is_short():
    dataset = make()
    assert rows_of(dataset) == [[0, 1, 2], [3, 4, 5], [6]] == rows_of(dataset)
    assert len(dataset) == dataset.num_batches == 3
    assert dataset[-1].tolist() == [6]
    with pytest.raises(IndexError, match="batch 3 of 3"):
        dataset[3]


def test_each_pass_has_an_order_that_seed_and_number_decide():
    first, again = make(shuffle=True, seed=4), make(shuffle=True, seed=4)
    epochs = source_rows(first, 3)
    assert epochs == source_rows(again, 3)
    assert len({str(epoch) for epoch in epochs}) == 3
    assert all(
        sorted(row for batch in epoch for row in batch) == list(range(7)) for epoch in epochs
    )
    assert [rows_of(again) for _ in range(3)] == epochs  # a loop of one's own
    assert source_rows(make(shuffle=True, seed=5), 1) != epochs[:1]


def test_an_epoch_can_begin_in_the_middle():
    whole = source_rows(make(shuffle=True), 3)
    source = make_source(make(shuffle=True))
    assert [x.tolist() for x, _, _ in source.epoch(2, start=1)] == whole[2][1:]


def test_fit_does_not_shuffle_what_orders_itself():
    assert source_rows(make(), 2, shuffle=True) == [[[0, 1, 2], [3, 4, 5], [6]]] * 2


def test_steps_per_epoch_go_on_in_the_same_pass():
    whole = source_rows(make(shuffle=True), 2)
    with pytest.warns(UserWarning, match="ran out in epoch 2"):
        parts = source_rows(make(shuffle=True), 2, steps_per_epoch=2)
    assert parts[0] + parts[1] == whole[0]


def test_a_mapped_dataset_keeps_the_orders():
    whole = source_rows(make(shuffle=True), 2)
    doubled = mapped(make(shuffle=True), lambda rows: rows * 2)
    assert source_rows(doubled, 2) == [[[2 * i for i in b] for b in e] for e in whole]
    assert [rows_of(doubled) for _ in range(2)] == source_rows(doubled, 2)


def test_threads_give_the_same_batches():
    assert source_rows(make(shuffle=True, workers=3), 2) == source_rows(make(shuffle=True), 2)


def test_without_a_batch_size_it_gives_single_rows():
    dataset = RowDataset(3, lambda row: np.asarray(row) * 10, batch_size=None)
    assert [int(row) for row in dataset] == [0, 10, 20]


def test_what_it_refuses():
    with pytest.raises(DataError, match=r"at least one row"):
        RowDataset(0, np.asarray)
    with pytest.raises(DataError, match="`batch_size` cannot be 0"):
        RowDataset(3, np.asarray, batch_size=0)
