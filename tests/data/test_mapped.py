"""Datasets whose batches pass through a function on their way to `fit`."""

from __future__ import annotations

import numpy as np
import pytest

import kgraph
from kgraph.data import PyDataset, make_source, mapped
from kgraph.errors import DataError
from kgraph.layers.text import TextVectorization

TEXTS = [["a b", "b"], ["b a", "a"], ["c", "a c"]]


class Texts(PyDataset):
    def __init__(self, **options):
        super().__init__(**options)
        self.begun = 0

    def __len__(self):
        return len(TEXTS)

    def __getitem__(self, index):
        return np.array(TEXTS[index]), np.full(2, index)

    def on_epoch_begin(self):
        self.begun += 1


def lengths(texts, y):
    return np.char.str_len(np.asarray(texts)), y


def as_list(source, epoch=0, start=0):
    return [x.tolist() for x, _, _ in source.epoch(epoch, start)]


EXPECTED = [[3, 1], [3, 1], [1, 3]]


@pytest.mark.parametrize("kind", ["list", "function", "iterable"])
def test_what_can_be_read_again_is_mapped_again(kind):
    batches = [(np.array(texts), np.zeros(2)) for texts in TEXTS]
    bases = {
        "list": batches,
        "function": lambda: iter(batches),
        "iterable": dict(enumerate(batches)),
    }
    base = bases[kind] if kind != "iterable" else bases[kind].values()
    source = make_source(mapped(base, lengths))
    assert source.resumable
    assert source.steps == (None if kind == "function" else 3)
    assert as_list(source) == EXPECTED
    assert as_list(source, epoch=1, start=1) == EXPECTED[1:]


def test_a_generator_is_mapped_once_and_lazily():
    seen = []

    def batches():
        for texts in TEXTS:
            seen.append(texts)
            yield texts, np.zeros(2)

    made = mapped(batches(), lengths)
    assert seen == []
    assert next(made)[0].tolist() == [3, 1]
    assert len(seen) == 1
    assert not make_source(made).resumable


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_by_number_stay_so(workers):
    base = Texts(workers=workers, max_queue_size=4)
    made = mapped(base, lengths)
    assert (made.workers, made.max_queue_size, len(list(made))) == (workers, 4, 3)
    source = make_source(made, shuffle=False)
    assert source.resumable
    assert as_list(source, start=2) == EXPECTED[2:]
    assert base.begun == 1
    shuffled = make_source(made, shuffle=True, seed=3)
    assert as_list(shuffled, 1, start=1) == as_list(shuffled, 1)[1:]


def test_a_batch_that_is_no_tuple_is_one_argument():
    assert list(mapped([np.ones(2), np.zeros(2)], np.sum)) == [2.0, 0.0]


@pytest.mark.parametrize(
    "data",
    [np.ones(3), {"x": 1}, ["a", "b"], (1, 2), 5],
    ids=["array", "dict", "list", "tuple", "5"],
)
def test_what_is_no_dataset_is_refused(data):
    with pytest.raises(DataError, match="apply the function to the whole data"):
        mapped(data, lengths)


def test_fit_reads_text_through_a_lookup():
    words = TextVectorization(output_sequence_length=2)
    words.adapt(Texts())
    ids = kgraph.Input((2,), dtype="int32")
    x = kgraph.layers.Embedding(words.vocabulary_size(), 2)(ids)
    model = kgraph.Model(ids, kgraph.layers.Dense(1)(kgraph.layers.Flatten()(x)))
    model.compile("sgd", "mse")
    history = model.fit(mapped(Texts(), lambda x, y: (words(x), y)), epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2
