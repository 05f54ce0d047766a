"""The same data through Keras' own adapters: same rows, weights, batches and epoch lengths."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
from keras.src.trainers.data_adapters.array_slicing import train_validation_split
from keras.src.trainers.data_adapters.data_adapter_utils import class_weight_to_sample_weights
from keras.src.trainers.epoch_iterator import EpochIterator

from kgraph.data import (
    ArraySource,
    IterableSource,
    class_weights_to_sample_weights,
    make_source,
    pack_x_y_sample_weight,
    split,
    unpack_x_y_sample_weight,
)
from kgraph.errors import DataError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("rows", [2, 7, 10, 33])
@pytest.mark.parametrize("fraction", [0.1, 0.2, 1 / 3, 0.49, 0.9])
def test_split(rows, fraction):
    x, y = np.arange(rows, dtype="float32"), np.arange(rows)
    try:
        wanted = train_validation_split((x, y), fraction)
    except ValueError:
        with pytest.raises(DataError, match="leaves no rows"):
            split((x, y), fraction)
        return
    made = split((x, y), fraction)
    for side, keras_side in zip(made, wanted):
        for array, sliceable in zip(side, keras_side):
            np.testing.assert_array_equal(array, np.asarray(sliceable))


LABELS = {
    "vector": RNG.integers(0, 4, 20),
    "column": RNG.integers(0, 4, (20, 1)),
    "negative": RNG.integers(-2, 2, 20),
    "floats": RNG.integers(0, 4, 20) + 0.3,
    "one-hot": np.eye(4, dtype="float32")[RNG.integers(0, 4, 20)],
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("weights", [{0: 2.0, 1: 0.5, 2: 3.0, 3: 1.5}, {1: 7.0}, {9: 4.0, -1: 0.0}])
def test_class_weights(kind, weights):
    y = LABELS[kind]
    made = class_weights_to_sample_weights(y, weights)
    wanted = class_weight_to_sample_weights(y, weights)
    assert made.dtype == wanted.dtype
    np.testing.assert_array_equal(made, wanted)


@pytest.mark.parametrize("data", ["x", ("x",), ["x", "y"], ("x", "y", "w")])
def test_unpack(data):
    assert unpack_x_y_sample_weight(data) == keras.utils.unpack_x_y_sample_weight(data)


@pytest.mark.parametrize("parts", [("x",), ("x", "y"), ("x", "y", "w"), (["a", "b"],)])
def test_pack(parts):
    assert pack_x_y_sample_weight(*parts) == keras.utils.pack_x_y_sample_weight(*parts)


def _keras_epochs(epochs, **options):
    iterator = EpochIterator(**options)
    for _ in range(epochs):
        yield [np.asarray(data[0][0]) for _, _, data in iterator]


def _our_epochs(epochs, source):
    for index in range(epochs):
        yield [np.asarray(x) for x, _, _ in source.epoch(index)]


def _same_epochs(made, wanted):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        wanted = list(wanted)
        keras_warned = bool(seen)
        seen.clear()
        made = list(made)
        assert bool(seen) == keras_warned
    assert [len(epoch) for epoch in made] == [len(epoch) for epoch in wanted]
    for epoch, keras_epoch in zip(made, wanted):
        for batch, keras_batch in zip(epoch, keras_epoch):
            np.testing.assert_array_equal(batch, keras_batch)


@pytest.mark.parametrize("steps", [None, 1, 2, 3, 5, 9])
@pytest.mark.parametrize("size", [None, 3, 4, 20])
def test_epochs_of_arrays(steps, size):
    x = np.arange(13, dtype="float32").reshape(13, 1)
    wanted = _keras_epochs(5, x=x, y=x, batch_size=size, steps_per_epoch=steps, shuffle=False)
    source = ArraySource(x, x, batch_size=size, steps_per_epoch=steps, shuffle=False)
    _same_epochs(_our_epochs(5, source), wanted)


class _Keras(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return np.full((2, 1), index, "float32"), np.zeros(2, "float32")


@pytest.mark.parametrize("steps", [None, 2, 5, 7])
def test_epochs_of_a_keras_dataset(steps):
    wanted = _keras_epochs(4, x=_Keras(), steps_per_epoch=steps, shuffle=False)
    source = make_source(_Keras(), steps_per_epoch=steps, shuffle=False)
    assert source.steps == (steps or 5)
    _same_epochs(_our_epochs(4, source), wanted)


@pytest.mark.parametrize(
    ("total", "steps", "epochs"), [(6, 3, 2), (7, 3, 2), (5, 3, 2), (4, None, 1)]
)
def test_epochs_of_a_generator(total, steps, epochs):
    def batches():
        for i in range(total):
            yield np.full((2, 1), i, "float32"), np.zeros(2, "float32")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns as well where it was told no number of steps
        wanted = list(_keras_epochs(epochs, x=batches(), steps_per_epoch=steps))
        made = list(_our_epochs(epochs, IterableSource(batches(), steps)))
    assert [np.ravel(epoch).tolist() for epoch in made] == [np.ravel(e).tolist() for e in wanted]


@pytest.mark.parametrize("shuffle", [True, "batch"])
def test_batch_shuffle_keeps_the_sets_that_keras_keeps(shuffle):
    x = np.arange(13, dtype="float32").reshape(13, 1)
    made = next(_our_epochs(1, ArraySource(x, batch_size=4, shuffle=shuffle)))
    wanted = next(_keras_epochs(1, x=x, y=x, batch_size=4, shuffle=shuffle))
    assert [len(batch) for batch in made] == [len(batch) for batch in wanted]
    whole = [sorted(np.ravel(batch).tolist()) for batch in made]
    if shuffle == "batch":
        assert whole == [sorted(np.ravel(batch).tolist()) for batch in wanted]
    assert sorted(number for batch in whole for number in batch) == x.ravel().tolist()
