"""pad_sequences, split_dataset and windows of time series."""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest

from kgraph import utils
from kgraph.data import PyDataset
from kgraph.errors import ConfigError, DataError
from kgraph.utils.splitting import split_sizes

RAGGED = [[1], [], [2, 3], [4, 5, 6, 7], np.array([8, 9, 10])]


# pad_sequences


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
def test_padding_as_in_keras(padding, truncating):
    for maxlen in (None, 1, 3, 6):
        options = {"maxlen": maxlen, "padding": padding, "truncating": truncating}
        for more in ({}, {"dtype": "float32", "value": -1.5}, {"dtype": "int64", "value": 7}):
            made = utils.pad_sequences(RAGGED, **options, **more)
            wanted = keras.utils.pad_sequences(RAGGED, **options, **more)
            np.testing.assert_array_equal(made, wanted, strict=True)


def test_padding_of_vectors_and_texts_as_in_keras():
    vectors = [np.ones((2, 3)), np.zeros((0, 3)), np.full((4, 3), 2.0)]
    np.testing.assert_array_equal(
        utils.pad_sequences(vectors, 3, "float32"),
        keras.utils.pad_sequences(vectors, 3, "float32"),
        strict=True,
    )
    texts = [["a", "bc"], ["d"]]
    made = utils.pad_sequences(texts, dtype=object, value="-", padding="post")
    wanted = keras.utils.pad_sequences(texts, dtype=object, value="-", padding="post")
    assert made.tolist() == wanted.tolist() == [["a", "bc"], ["d", "-"]]


def test_padding_to_no_length_keeps_nothing():
    assert utils.pad_sequences([[1, 2]], maxlen=0).shape == (1, 0)
    assert utils.pad_sequences([]).shape == (0, 0)


def test_what_cannot_be_padded():
    with pytest.raises(ConfigError, match=r"`padding`[\s\S]*'pre', 'post'"):
        utils.pad_sequences([[1]], padding="left")
    with pytest.raises(ConfigError, match=r"cannot fill in a text[\s\S]*dtype=object"):
        utils.pad_sequences([["a"]], value="x")
    with pytest.raises(DataError, match=r"Sequence 1 is no sequence[\s\S]*received  5"):
        utils.pad_sequences([[1], 5])
    with pytest.raises(DataError, match=r"takes a list of sequences"):
        utils.pad_sequences(iter([[1]]))
    with pytest.raises(DataError, match=r"Sequence 1 has items of another shape"):
        utils.pad_sequences([[[1, 2]], [[1, 2, 3]]])


# split_dataset


SIZES = [(0.8, None), (None, 0.25), (0.5, 0.3), (3, None), (None, 4), (2, 5), (3, 0.5)]


@pytest.mark.parametrize(("left", "right"), SIZES)
def test_sizes_are_those_of_keras(left, right):
    keras_sizes = keras.src.utils.dataset_utils._rescale_dataset_split_sizes
    for rows in (10, 17, 33):
        assert split_sizes(left, right, rows) == keras_sizes(left, right, rows)


BAD = [(None, None), (0, None), (10, None), (1.0, None), (0.9, 0.2), (8, 8), (True, None), ("2", 1)]


@pytest.mark.parametrize(("left", "right"), BAD)
def test_sizes_that_do_not_fit_are_refused_as_in_keras(left, right):
    with pytest.raises(ConfigError, match="split"):
        split_sizes(left, right, 10)
    with pytest.raises((ValueError, TypeError)):
        keras_split(left, right)


def keras_split(left, right):
    if left is None and right is None:
        raise ValueError  # checked before the sizes are computed there
    keras.src.utils.dataset_utils._rescale_dataset_split_sizes(left, right, 10)


def test_arrays_are_split_in_the_structure_they_come_in():
    x, y = np.arange(20).reshape(10, 2), np.arange(10)
    (x1, y1), (x2, y2) = utils.split_dataset([x, y], 0.7)
    np.testing.assert_array_equal(np.concatenate([x1, x2]), x)
    assert (y1.tolist(), y2.tolist()) == (list(range(7)), [7, 8, 9])
    left, right = utils.split_dataset({"a": x, "b": y}, left_size=2, right_size=3)
    assert left["b"].tolist() == [0, 1]
    assert right["b"].tolist() == [7, 8, 9]  # the rest belongs to neither, as in Keras


def test_shuffling_is_that_of_keras():
    x = np.arange(30)
    order = list(range(30))
    random.Random(7).shuffle(order)
    left, right = utils.split_dataset(x, 0.5, shuffle=True, seed=7)
    assert [*left, *right] == order
    again, _ = utils.split_dataset(x, 0.5, shuffle=True, seed=7)
    assert again.tolist() == left.tolist()


class Batches(PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = np.arange(4 * index, min(4 * index + 4, 11))
        return {"x": rows}, rows * 2


@pytest.mark.parametrize("kind", ["dataset", "list", "generator", "function"])
def test_batches_are_split_by_rows(kind):
    batches = {
        "dataset": Batches,
        "list": lambda: list(Batches()),
        "generator": lambda: iter(Batches()),
        "function": lambda: lambda: iter(Batches()),
    }[kind]()
    left, right = utils.split_dataset(batches, right_size=5)
    assert [x["x"].tolist() for x, _ in left] == [[0, 1, 2, 3], [4, 5]]
    assert [y.tolist() for _, y in right] == [[12, 14, 16, 18], [20]]
    assert (len(left), len(right)) == (2, 2)


def test_what_cannot_be_split():
    with pytest.raises(DataError, match=r"number of rows"):
        utils.split_dataset((np.ones(3), np.ones(4)), 0.5)
    with pytest.raises(DataError, match="takes arrays"):
        utils.split_dataset([1, 2, 3], 0.5)
    with pytest.raises(ConfigError, match=r"preferred_backend None or 'jax'[\s\S]*'torch'"):
        utils.split_dataset(np.ones(3), 0.5, preferred_backend="torch")


# windows of time series

SERIES = np.arange(40.0).reshape(20, 2)
WINDOWS = [
    {"sequence_length": 3},
    {"sequence_length": 4, "sequence_stride": 2, "sampling_rate": 3},
    {"sequence_length": 5, "start_index": 3, "end_index": 17},
    {"sequence_length": 2, "sequence_stride": 5, "sampling_rate": 2, "start_index": 1},
]


def windows_by_hand(data, targets, sequence_length, sequence_stride=1, sampling_rate=1,
                    start_index=0, end_index=None):  # fmt: skip
    """What the documentation of Keras says, step by step."""
    found, place = [], start_index
    end = len(data) if end_index is None else end_index
    while place + (sequence_length - 1) * sampling_rate < end:
        steps = [place + i * sampling_rate for i in range(sequence_length)]
        found.append((data[steps], targets[place]))
        place += sequence_stride
    return found


@pytest.mark.parametrize("options", WINDOWS, ids=str)
def test_windows(options):
    targets = SERIES[:, 0] * 10
    dataset = utils.timeseries_dataset_from_array(SERIES, targets, batch_size=4, **options)
    batches = list(dataset)
    wanted = windows_by_hand(SERIES, targets, **options)
    assert len(batches) == len(dataset) == -(-len(wanted) // 4)
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), [x for x, _ in wanted])
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), [y for _, y in wanted])
    (single, _), *_ = utils.timeseries_dataset_from_array(
        SERIES, targets, batch_size=None, **options
    )
    np.testing.assert_array_equal(single, wanted[0][0])


def test_windows_without_targets_shuffled_and_fewer_targets():
    plain = utils.timeseries_dataset_from_array(SERIES, None, 3)
    assert plain[0].shape == (18, 3, 2)
    mixed = utils.timeseries_dataset_from_array(SERIES, None, 3, shuffle=True, seed=1)
    one, two = (next(iter(mixed)) for _ in range(2))
    assert (one != two).any()
    np.testing.assert_array_equal(np.sort(one, 0), plain[0])
    x, y = utils.timeseries_dataset_from_array(SERIES, SERIES[5:, 0], 3)[0]
    assert len(x) == len(y) == 15


@pytest.mark.parametrize(
    ("name", "value"),
    [("sequence_stride", 0), ("sampling_rate", 20), ("start_index", 20), ("end_index", 21)],
)
def test_windows_that_do_not_fit(name, value):
    with pytest.raises(ConfigError, match=rf"cannot use this `{name}`[\s\S]*received  {value}"):
        utils.timeseries_dataset_from_array(SERIES, None, 3, **{name: value})
    with pytest.raises(DataError, match=r"at least 19 steps[\s\S]*received  18 steps"):
        utils.timeseries_dataset_from_array(SERIES, None, 10, sampling_rate=2, end_index=18)
