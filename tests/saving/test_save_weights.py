"""Weights alone, by layer path."""

from __future__ import annotations

import numpy as np
import pytest
from saved_models import ROWS, Coded, assert_same_weights, dense, weights_of

import kgraph as keras
from kgraph import layers, saving
from kgraph.errors import ModelFileError, StateError


@pytest.mark.parametrize("name", ["w.weights.kgraph", "w.kgraph", "checkpoint"])
def test_weights_come_back_by_path(name, tmp_path):
    model, other = dense(), dense()
    model.save_weights(tmp_path / name)
    other.load_weights(tmp_path / name)
    assert_same_weights(model, other)


def test_the_weights_of_a_whole_model_can_be_read_alone(tmp_path):
    model, other = dense(), dense()
    model.compile("adam", "mse")
    model.fit(ROWS, ROWS[:, :2], verbose=0)
    model.save(tmp_path / "m.kgraph")
    other.load_weights(tmp_path / "m.kgraph")
    assert_same_weights(model, other)


def _wider() -> keras.Model:
    x = keras.Input((4,))
    return keras.Model(x, layers.Dense(3, name="new")(layers.Dense(5, name="dense")(x)))


def test_what_does_not_fit_is_shown_side_by_side_and_nothing_is_set(tmp_path):
    dense().save_weights(tmp_path / "w.kgraph")
    model = _wider()
    before = weights_of(model)
    with pytest.raises(ModelFileError) as caught:
        model.load_weights(tmp_path / "w.kgraph")
    lines = [" ".join(line.split()) for line in str(caught.value).splitlines()]
    assert "dense/kernel [4, 5] float32 [3, 2] float32" in lines
    assert "new/kernel [5, 3] float32 -" in lines
    assert "dense_1/kernel - [4, 3] float32" in lines
    for path, array in weights_of(model).items():
        np.testing.assert_array_equal(array, before[path])


def test_skip_mismatch_sets_what_fits_and_warns(tmp_path):
    source = dense()
    source.save_weights(tmp_path / "w.kgraph")
    x = keras.Input((3,))
    model = keras.Model(x, layers.Dense(2, name="dense")(layers.Dense(3, name="other")(x)))
    with pytest.warns(UserWarning, match="other/kernel"):
        saving.load_weights(model, tmp_path / "w.kgraph", skip_mismatch=True)
    np.testing.assert_array_equal(
        weights_of(model)["dense/kernel"], weights_of(source)["dense/kernel"]
    )


def test_floats_are_brought_to_the_dtype_of_the_weight(tmp_path):
    def model(dtype):
        x = keras.Input((4,))
        return keras.Model(x, layers.Dense(2, dtype=dtype)(x))

    wide, short = model("float32"), model("bfloat16")
    wide.save_weights(tmp_path / "w.kgraph")
    short.load_weights(tmp_path / "w.kgraph")
    kernel = short.weights[0].value
    assert kernel.dtype == "bfloat16"
    np.testing.assert_array_equal(kernel, wide.weights[0].value.astype("bfloat16"))


def test_a_model_without_weights_and_a_file_without_a_model_say_so(tmp_path):
    dense().save_weights(tmp_path / "w.kgraph")
    with pytest.raises(StateError, match=r"has no weights yet"):
        Coded(2).load_weights(tmp_path / "w.kgraph")
    with pytest.raises(ModelFileError, match=r"holds weights only[\s\S]*load_weights"):
        saving.load_model(tmp_path / "w.kgraph")
