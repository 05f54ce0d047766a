"""Masks are edges of the graph: shown, passed on, stopped with a warning, and read."""

from __future__ import annotations

import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import kgraph
from kgraph import Input, Layer, Model
from kgraph.graph import Ref
from kgraph.layers import (
    LSTM,
    Activation,
    Add,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    GlobalAveragePooling1D,
)

WORDS = np.array([[3, 1, 0, 0], [2, 2, 2, 0]], np.int32)


def masked_words():
    words = Input((None,), dtype="int32", name="words")
    return words, Embedding(5, 3, mask_zero=True, name="embed")(words)


def test_a_mask_is_made_passed_on_and_read():
    words, x = masked_words()
    x = Activation("relu")(Dropout(0.5)(x))
    graph = Model(words, LSTM(4)(x)).graph
    mask = Ref("embed", mask=True)
    assert graph.by_name["embed"].mask_specs[0].dtype == "bool"
    assert graph.by_name["dropout"].masks == (mask,)
    assert graph.by_name["lstm"].masks == (mask,)
    assert graph.by_name["lstm"].output_masks == (None,)
    assert "masked by embed[0].mask" in str(graph)


class ReadsMask(Layer):
    """Gives the mask that it received."""

    def call(self, inputs, mask=None):
        return jnp.zeros(inputs.shape[:2]) if mask is None else mask.astype("float32")


def test_a_call_with_a_mask_argument_receives_it():
    words, x = masked_words()
    model = Model(words, ReadsMask()(x))
    np.testing.assert_array_equal(model(WORDS), WORDS != 0)
    with_it = kgraph.lower(model, passes=())
    np.testing.assert_array_equal(
        with_it.apply({"params": model_params(model), "state": {}}, WORDS)[0], WORDS != 0
    )


def model_params(model: Model):
    return model.variables_for(kgraph.lower(model))["params"]


class Stops(Layer):
    """Knows nothing of masks."""

    def call(self, inputs):
        return inputs * 2.0


def test_a_layer_that_stops_a_mask_warns_with_the_users_line_and_says_so_in_the_graph():
    words, x = masked_words()
    with pytest.warns(UserWarning, match=r"'stops' \(Stops\) does not support masks") as caught:
        y = Stops(name="stops")(x)
    assert caught[0].filename == __file__
    with open(__file__) as source:
        line = source.read().splitlines()[caught[0].lineno - 1]
    assert 'y = Stops(name="stops")(x)' in line
    graph = Model(words, ReadsMask()(y)).graph
    assert graph.by_name["stops"].effects == ("stops mask",)
    assert graph.by_name["reads_mask"].masks == (None,)


def test_no_warning_where_a_layer_supports_or_reads_masks():
    _, x = masked_words()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GlobalAveragePooling1D()(Dense(3)(x))
        LSTM(3, return_sequences=True)(x)


def test_masks_of_two_branches_are_joined_by_the_layer_that_joins_them():
    words, x = masked_words()
    y = Add()([x, Dense(3)(x)])
    model = Model(words, ReadsMask()(y))
    np.testing.assert_array_equal(model(WORDS), WORDS != 0)


def test_a_nested_model_passes_masks_through():
    a = Input((None, 3))
    inner = Model(a, Dropout(0.5)(Dense(3)(a)), name="inner")
    words, x = masked_words()
    model = Model(words, ReadsMask()(inner(x)))
    for passes in ((), None):
        program = kgraph.lower(model, passes)
        variables = model.variables_for(program)
        np.testing.assert_array_equal(program.apply(variables, WORDS)[0], WORDS != 0)


def test_a_mask_made_inside_a_nested_model_comes_out():
    words, x = masked_words()
    inner = Model(words, x, name="inner")
    outer = Input((None,), dtype="int32")
    model = Model(outer, ReadsMask()(inner(outer)))
    for passes in ((), None):
        program = kgraph.lower(model, passes)
        found = program.apply(model.variables_for(program), WORDS)[0]
        np.testing.assert_array_equal(found, WORDS != 0)


def test_a_cut_loses_the_mask_from_before_the_cut():
    _, x = masked_words()
    model = Model(x, ReadsMask()(x))
    assert model.graph.by_name["reads_mask"].masks == (None,)
    np.testing.assert_array_equal(model(np.ones((2, 4, 3))), np.zeros((2, 4)))


def test_padding_does_not_change_what_a_masked_lstm_gives():
    words, x = masked_words()
    model = Model(words, LSTM(4)(x))
    longer = np.pad(WORDS, ((0, 0), (0, 3)))
    np.testing.assert_allclose(model(WORDS), model(longer), rtol=1e-6, atol=1e-6)


def test_a_convolution_stops_the_mask():
    _, x = masked_words()
    with pytest.warns(UserWarning, match="does not support masks"):
        Conv1D(2, 2)(x)


def test_a_cut_between_masked_calls_loses_the_mask_only_behind_the_cut():
    words, x = masked_words()
    h = Dropout(0.5)(x)
    fed, own = ReadsMask(name="fed")(Activation("relu")(h)), ReadsMask(name="own")(x)
    graph = Model([words, h], [fed, own]).graph
    assert graph.by_name["fed"].masks == (None,)
    assert graph.by_name["activation"].output_masks == (None,)
    assert graph.by_name["own"].masks == (Ref("embed", mask=True),)
