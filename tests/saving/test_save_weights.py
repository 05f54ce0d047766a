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


def test_the_report_says_what_was_loaded(tmp_path):
    dense().save_weights(tmp_path / "w.kgraph")
    report = dense().load_weights(tmp_path / "w.kgraph")
    assert report.complete
    assert report.loaded == ("dense_1/kernel", "dense_1/bias", "dense/kernel", "dense/bias")
    assert str(report) == "4 weights loaded"


def _head() -> keras.Model:
    """The first layer of `dense` by name, and another head."""
    x = keras.Input((4,))
    h = layers.Dense(3, name="dense_1", activation="relu")(x)
    return keras.Model(x, layers.Dense(7, name="new_head")(h))


@pytest.mark.parametrize("name", ["w.kgraph", "w.safetensors"])
def test_a_model_may_start_from_a_part_of_another(name, tmp_path):
    source, model = dense(), _head()
    source.save_weights(tmp_path / name)
    with pytest.raises(ModelFileError, match="strict=False"):
        model.load_weights(tmp_path / name)
    kept = weights_of(model)["new_head/kernel"]
    report = model.load_weights(tmp_path / name, strict=False)
    assert report.loaded == ("dense_1/kernel", "dense_1/bias")
    assert report.missing == {"new_head/kernel": "[3, 7] float32", "new_head/bias": "[7] float32"}
    assert report.unexpected == {"dense/kernel": "[3, 2] float32", "dense/bias": "[2] float32"}
    assert "new_head/kernel  [3, 7] float32  -" in str(report)
    np.testing.assert_array_equal(
        weights_of(model)["dense_1/kernel"], weights_of(source)["dense_1/kernel"]
    )
    np.testing.assert_array_equal(weights_of(model)["new_head/kernel"], kept)


def test_other_shapes_and_nothing_in_common_are_errors_without_strict_too(tmp_path):
    dense().save_weights(tmp_path / "w.kgraph")
    with pytest.raises(ModelFileError, match=r"dense/kernel +\[4, 5\] float32 +\[3, 2\] float32"):
        _wider().load_weights(tmp_path / "w.kgraph", strict=False)
    x = keras.Input((4,))
    stranger = keras.Model(x, layers.Dense(3, name="stranger")(x))
    with pytest.raises(ModelFileError, match="stranger/kernel"):
        stranger.load_weights(tmp_path / "w.kgraph", strict=False)


def test_numbers_that_the_dtype_cannot_hold_are_refused(tmp_path):
    def model(dtype):
        x = keras.Input((4,))
        return keras.Model(x, layers.Dense(2, dtype=dtype, name="d")(x))

    wide, short = model("float32"), model("float16")
    wide.weights[1].assign(np.array([1e30, 0], "float32"))
    wide.save_weights(tmp_path / "w.kgraph")
    with pytest.raises(ModelFileError, match=r"cannot hold[\s\S]*d/bias"):
        short.load_weights(tmp_path / "w.kgraph")
