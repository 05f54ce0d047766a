"""Batches from generators, lists of batches and streams."""

from __future__ import annotations

import warnings

import jax
import numpy as np
import pytest
from numbered import Reiterable, batch, numbers

from kgraph.data import (
    IterableSource,
    is_dataset,
    make_source,
    unpack_x_y_sample_weight,
)
from kgraph.errors import DataError


def test_forms_of_items():
    x, y = batch(3)
    for item in (x, (x,), (x, y), [x, y], (x, y, y), {"a": x}):
        (made,) = make_source(lambda item=item: iter([item])).epoch(0)
        for got, wanted in zip(made, unpack_x_y_sample_weight(item)):
            jax.tree.map(np.testing.assert_array_equal, got, wanted)


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ((1, 2, 3, 4), r"tuple of 4 items[\s\S]*one list or dict"),
        ((), "tuple of 0 items"),
        (
            (np.zeros(3), np.zeros(2)),
            r"differ in their number of rows\n  at        batch 1 of epoch 1",
        ),
        ((np.zeros(0), np.zeros(0)), r"no rows\n  at        batch 1 of epoch 1"),
        ((np.zeros(2), ["a", "b"]), r"y does not hold numbers\n  at        batch 1 of epoch 1"),
    ],
)
def test_bad_items_are_named_by_their_batch(item, text):
    def named():
        yield batch(0)
        yield item

    with pytest.raises(DataError, match=text):
        list(make_source(named()).epoch(0))


def test_a_list_of_tuples_is_a_dataset_and_a_list_of_arrays_is_not():
    assert is_dataset([batch(0), batch(1)])
    assert is_dataset([(np.zeros(2),)])
    assert not is_dataset([np.zeros(2), np.zeros(2)])
    assert not is_dataset([(1, 2), (3, 4)])
    assert not is_dataset((np.zeros(2), np.zeros(2)))
    assert not is_dataset({"a": np.zeros(2)})
    source = make_source([batch(0), batch(1)])
    assert (source.steps, numbers(source.epoch(0)), numbers(source.epoch(1))) == (2, [0, 1], [0, 1])


@pytest.mark.parametrize(
    "make",
    [lambda: Reiterable(5), lambda: [batch(i) for i in range(5)], lambda: Reiterable(5).__iter__],
)
@pytest.mark.parametrize("steps", [None, 2, 5, 7])
def test_what_can_be_iterated_again_resumes(make, steps):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = make_source(make(), steps_per_epoch=steps)
        assert source.resumable
        whole = [numbers(source.epoch(i)) for i in range(5)]
        assert {n for epoch in whole[:3] for n in epoch} == {0, 1, 2, 3, 4}
        for index, epoch in enumerate(whole):
            for start in range(len(epoch) + 1):
                fresh = make_source(make(), steps_per_epoch=steps)
                assert numbers(fresh.epoch(index, start)) == epoch[start:]


def test_a_stream_is_opened_once_per_pass_and_learns_its_length():
    stream = Reiterable(4)
    source = make_source(stream)
    assert source.steps is None
    list(source.epoch(0))
    assert source.steps == 4
    continued = Reiterable(4)
    source = make_source(continued, steps_per_epoch=2)
    assert [numbers(source.epoch(i)) for i in range(4)] == [[0, 1], [2, 3], [0, 1], [2, 3]]
    assert continued.opened == 2


def test_a_generator_that_ends_early_warns_and_is_exhausted():
    source = make_source((batch(i) for i in range(5)), steps_per_epoch=3)
    assert numbers(source.epoch(0)) == [0, 1, 2]
    assert not source.exhausted
    with pytest.warns(
        UserWarning, match=r"epoch 2: 3 batches were wanted and 2 given.*Training stops"
    ):
        assert numbers(source.epoch(1)) == [3, 4]
    assert source.exhausted


def test_a_generator_that_ends_with_an_epoch_gives_none_in_the_next():
    source = make_source((batch(i) for i in range(3)), steps_per_epoch=3)
    assert numbers(source.epoch(0)) == [0, 1, 2]
    with pytest.warns(UserWarning, match="3 batches were wanted and 0 given"):
        assert numbers(source.epoch(1)) == []
    assert source.exhausted


def test_a_generator_without_steps_serves_one_epoch():
    source = make_source(batch(i) for i in range(3))
    assert source.steps is None
    assert numbers(source.epoch(0)) == [0, 1, 2]
    assert source.exhausted
    with pytest.warns(UserWarning, match="at least one batch was wanted and 0 given"):
        assert numbers(source.epoch(1)) == []


def test_no_batch_beyond_the_steps_is_taken():
    stream = iter([batch(i) for i in range(5)])
    list(make_source(stream, steps_per_epoch=2).epoch(0))
    assert numbers([(*next(stream), None)]) == [2]


@pytest.mark.parametrize("empty", [iter([]), (i for i in ()), Reiterable(0), lambda: iter([])])
@pytest.mark.parametrize("steps", [None, 2])
def test_an_empty_iterable(empty, steps):
    with pytest.raises(DataError, match="gave no batch"):
        list(make_source(empty, steps_per_epoch=steps).epoch(0))


def test_a_generator_cannot_begin_in_the_middle():
    def endless():
        while True:
            yield batch(0)

    source = make_source(endless(), steps_per_epoch=4)
    assert not source.resumable
    with pytest.raises(DataError, match=r"endless cannot begin at batch 2[\s\S]*pass a function"):
        next(source.epoch(0, start=2))


def test_class_weight_in_batches():
    source = make_source([(np.zeros(2), np.array([0, 1]))], class_weight={1: 3.0})
    assert next(source.epoch(0))[2].tolist() == [1.0, 3.0]
    weighted = [(np.zeros(2), np.zeros(2), np.ones(2))]
    with pytest.raises(DataError, match=r"together with `sample_weight`\n  at        batch 0"):
        next(make_source(weighted, class_weight={1: 3.0}).epoch(0))


def test_iterable_source_reads_tf_datasets_as_numpy():
    class TfDataset:
        def __iter__(self):
            raise AssertionError("would give tensors")

        def __len__(self):
            raise TypeError("The dataset is infinite.")

        def as_numpy_iterator(self):
            return iter([batch(4)])

    source = make_source(TfDataset())
    assert isinstance(source, IterableSource)
    assert source.steps is None
    assert numbers(source.epoch(0)) == [4]


@pytest.mark.parametrize("index", [0, 1])
def test_an_epoch_left_in_the_middle_can_be_made_again_and_followed(index):
    source = make_source(Reiterable(6), steps_per_epoch=3)
    left = source.epoch(0)
    next(left)
    left.close()
    assert numbers(source.epoch(index)) == [[0, 1, 2], [3, 4, 5]][index]
