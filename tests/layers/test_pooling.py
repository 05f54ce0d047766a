"""Pooling beyond the table: whole numbers, messages, short floats and empty masks."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from kgraph import Model
from kgraph.errors import ConfigError, GraphError
from kgraph.layers.base import Input
from kgraph.layers.pooling import (
    AdaptiveAveragePooling1D,
    AdaptiveAveragePooling2D,
    AdaptiveMaxPooling1D,
    AdaptiveMaxPooling3D,
    AveragePooling1D,
    AveragePooling2D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    MaxPooling1D,
    MaxPooling2D,
)


@pytest.mark.parametrize("dtype", ["int32", "int8", "uint8", "bool"])
def test_the_maximum_of_whole_numbers_keeps_their_dtype(dtype: str):
    steps = np.array([3, 0, 5, 1, 2], dtype) if dtype != "bool" else np.array([0, 0, 1, 0, 0], bool)
    if dtype.startswith("int"):
        steps = -steps
    windows = [steps[i : i + 2].max() for i in (0, 2, 4)]
    pooled = MaxPooling1D(2, padding="same")(steps.reshape(1, 5, 1))
    assert pooled.dtype == dtype
    np.testing.assert_array_equal(np.ravel(pooled), windows)


def test_the_maximum_of_only_minus_infinity_is_minus_infinity():
    pooled = MaxPooling1D(2, padding="same")(np.full((1, 3, 1), -np.inf, "float32"))
    assert np.all(np.isneginf(pooled))


def test_the_mean_of_whole_numbers_is_a_float():
    steps = np.array([1, 2, 4, 9], "int32").reshape(1, 4, 1)
    assert np.ravel(AveragePooling1D(2)(steps)).tolist() == [1.5, 6.5]
    assert np.ravel(GlobalAveragePooling1D()(steps)).tolist() == [4.0]


def test_means_of_bfloat16_are_summed_in_float32():
    # In bfloat16 the count 1037 would be 1040, and a running sum would stop at 256 of its steps.
    values = np.random.default_rng(0).normal(2.0, 1.0, size=(4, 1037, 16))
    steps = jnp.asarray(values, jnp.bfloat16)
    exact = np.asarray(steps, np.float64).mean(1)
    mask = jnp.ones((4, 1037), bool)
    for layer, kwargs in (
        (AveragePooling1D(1037, dtype="bfloat16"), {}),
        (AveragePooling1D(1037, padding="same", dtype="bfloat16"), {}),
        (GlobalAveragePooling1D(dtype="bfloat16"), {}),
        (GlobalAveragePooling1D(dtype="bfloat16"), {"mask": mask}),
    ):
        pooled = layer(steps, **kwargs)
        assert pooled.dtype == jnp.bfloat16
        nearest = np.asarray(exact, jnp.bfloat16).reshape(pooled.shape)
        np.testing.assert_array_equal(np.asarray(pooled), nearest)


def test_masked_values_do_not_reach_the_mean_even_if_they_are_not_finite():
    steps = np.array([[[1.0], [3.0], [np.nan], [np.inf]]], "float32")
    mask = np.array([[True, True, False, False]])
    assert GlobalAveragePooling1D()(steps, mask=mask).tolist() == [[2.0]]


def test_a_window_larger_than_the_input_is_refused_at_build():
    with pytest.raises(GraphError) as caught:
        MaxPooling2D((2, 5), name="last")(Input((4, 3, 8)))
    text = str(caught.value)
    assert "'last' (MaxPooling2D) would have an empty output" in text
    assert "pool_size=(2, 5)" in text
    assert "expected  at least 2 x 5" in text
    assert "received  4 x 3" in text
    assert "test_pooling.py" in text
    assert MaxPooling2D((2, 5), padding="same")(Input((4, 3, 8))).shape == (None, 2, 1, 8)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: MaxPooling2D((2, 2, 2)), r"`pool_size`[\s\S]*each of 2 axes"),
        (lambda: MaxPooling2D(2, 0), r"`strides`[\s\S]*at least 1"),
        (lambda: AveragePooling2D(2, padding="causal"), r"`padding`[\s\S]*'valid', 'same'"),
        (lambda: GlobalAveragePooling2D("last"), r"`data_format`[\s\S]*'channels_last'"),
    ],
)
def test_options_are_checked_when_the_layer_is_made(make, text: str):
    with pytest.raises(ConfigError, match=text):
        make()


def test_an_input_of_the_wrong_rank_is_refused():
    with pytest.raises(GraphError, match=r"cannot take an input with 2 axes[\s\S]*4 axes"):
        GlobalAveragePooling2D()(Input((8,)))


def test_unknown_sizes_keep_their_names():
    steps = Input(("time", 3))
    assert MaxPooling1D(2, 1)(steps).symbolic_shape == ("batch", "time - 1", 3)
    assert MaxPooling1D(3, 1, "same")(steps).symbolic_shape == ("batch", "time", 3)
    assert GlobalAveragePooling1D(keepdims=True)(steps).symbolic_shape == ("batch", 1, 3)


def test_adaptive_windows_are_those_of_the_definition():
    for size, count in ((1, 3), (2, 3), (5, 5), (6, 3), (7, 3), (8, 5), (11, 4)):
        steps = np.random.default_rng(size).normal(size=(1, size, 1)).astype("float32")
        windows = [
            np.ravel(steps)[i * size // count : -(-(i + 1) * size // count)] for i in range(count)
        ]
        pooled = np.ravel(AdaptiveMaxPooling1D(count)(steps))
        np.testing.assert_array_equal(pooled, [w.max() for w in windows])
        pooled = np.ravel(AdaptiveAveragePooling1D(count)(steps))
        np.testing.assert_allclose(pooled, [w.mean() for w in windows], rtol=1e-5, atol=1e-6)


def test_adaptive_pooling_of_an_unknown_size():
    image = Input(("rows", None, 2))
    model = Model(image, AdaptiveAveragePooling2D((3, 2))(image))
    assert model.output_shape == (None, 3, 2, 2)
    for rows, columns in ((3, 2), (7, 5)):
        x = np.random.default_rng(rows).normal(size=(2, rows, columns, 2)).astype("float32")
        np.testing.assert_allclose(model(x), AdaptiveAveragePooling2D((3, 2))(x), atol=1e-6)


def test_adaptive_pooling_of_whole_numbers():
    cells = -np.arange(1, 4 * 3 * 5 + 1, dtype="int32").reshape(1, 4, 3, 5, 1)
    pooled = AdaptiveMaxPooling3D((2, 1, 2))(cells)
    assert pooled.dtype == "int32"
    assert pooled[0, 0, 0, 0, 0] == -1
    assert pooled[0, 1, 0, 1, 0] == cells[0, 2, 0, 2, 0]
    assert AdaptiveAveragePooling1D(2)(np.array([[[1], [2], [4]]], "int32")).dtype == "float32"
    with pytest.raises(ConfigError, match=r"`output_size`[\s\S]*one for each of 2 axes"):
        AdaptiveAveragePooling2D((2, 3, 4))
