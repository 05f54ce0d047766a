"""Symbolic sizes: exact while the graph is built, checked when data comes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kgraph
from kgraph import Input, Model
from kgraph.errors import DataError, GraphError
from kgraph.graph.dims import dim_names, make_dims, rename_dims, show_dims
from kgraph.layers import Add, Concatenate, Conv1D, Conv2D, Dense, Flatten, MaxPooling1D, Reshape


def test_a_valid_convolution_takes_sizes_off():
    x = Input(("time", 64))
    assert Conv1D(8, 3)(x).symbolic_shape == ("batch", "time - 2", 8)
    assert Conv1D(8, 3, padding="same")(x).symbolic_shape == ("batch", "time", 8)
    assert Conv1D(8, 3)(x).shape == (None, None, 8)
    assert Conv1D(8, 3)(Conv1D(8, 3)(x)).symbolic_shape == ("batch", "time - 4", 8)


def test_halving_and_reshaping_keep_expressions():
    x = Input(("time", 4))
    assert MaxPooling1D(2)(x).symbolic_shape == ("batch", "floordiv(time - 2, 2) + 1", 4)
    assert Reshape((-1,))(x).symbolic_shape == ("batch", "4*time")
    assert Concatenate(axis=1)([x, x]).symbolic_shape == ("batch", "2*time", 4)


def test_sizes_that_differ_fail_at_build_with_the_users_lines():
    x = Input(("time", 8), name="sound")
    y = Conv1D(8, 3, name="short")(x)
    with pytest.raises(GraphError) as caught:
        Add()([x, y])
    text = str(caught.value)
    assert "Add()([x, y])" in text
    assert 'x = Input(("time", 8), name="sound")' in text
    assert 'y = Conv1D(8, 3, name="short")(x)' in text
    assert "time - 2" in text


def test_an_operator_on_sizes_that_differ_fails_in_the_users_names():
    x, y = Input(("time", 4)), Input(("steps", 4))
    with pytest.raises(GraphError) as caught:
        x + y
    text = str(caught.value)
    assert "(batch, time, 4), (batch, steps, 4)" in text
    assert "try" in text
    assert "one name" in text


def test_named_sizes_are_the_same():
    assert (Input(("time", 4)) + Input(("time", 4))).symbolic_shape == ("batch", "time", 4)


def test_equal_names_are_equal_sizes_at_run_time():
    x, y = Input(("time", 4), name="x"), Input(("time", 4), name="y")
    model = Model([x, y], x + y)
    assert model([np.ones((2, 5, 4)), np.ones((2, 5, 4))]).shape == (2, 5, 4)
    with pytest.raises(DataError, match=r"'y' has the wrong size[\s\S]*'time' is 5 in 'x'"):
        model([np.ones((2, 5, 4)), np.ones((2, 6, 4))])


def test_all_inputs_have_one_batch_size():
    x, y = Input((4,), name="x"), Input((4,), name="y")
    with pytest.raises(DataError, match="'batch' is 2 in 'x'"):
        Model([x, y], x + y)([np.ones((2, 4)), np.ones((3, 4))])


@pytest.mark.parametrize("steps", [3, 8, 17])
def test_one_graph_serves_all_sizes(steps):
    x = Input(("time", 4))
    y = Conv1D(2, 3)(x)
    found = Model(x, y)(np.ones((2, steps, 4)))
    assert found.shape == (2, steps - 2, 2)


def test_a_size_that_a_weight_needs_must_be_known():
    x = Input((None, None, 3))
    assert Conv2D(4, 3)(x).shape == (None, None, None, 4)
    with pytest.raises(GraphError, match="known size") as caught:
        Dense(4)(Flatten()(x))
    assert "Dense(4)(Flatten()(x))" in str(caught.value)


def test_batch_size_may_be_fixed():
    x = Input((3,), batch_size=7)
    assert x.shape == (7, 3)
    assert Input(batch_shape=(7, None, 3)).shape == (7, None, 3)
    with pytest.raises(DataError, match="wrong size"):
        Model(x, x + 1.0)(np.ones((8, 3)))


def test_unnamed_sizes_are_numbered_by_the_inputs_so_that_graphs_are_equal():
    def graph():
        x, y = Input((None, 4)), Input((None, None))
        return Model([x, y], [x * 2.0, y * 2.0]).graph

    one, two = graph(), graph()
    assert one == two
    assert one.nodes[-1].outputs[0].dims in (("batch", "_1", 4), ("batch", "_2", "_3"))


def test_a_nested_model_takes_sizes_of_its_own_names():
    x = Input(("time", 4))
    inner = Model(x, Conv1D(4, 3)(x))
    words = Input(("words", 4))
    assert inner(inner(words)).symbolic_shape == ("batch", "words - 4", 4)


@pytest.mark.parametrize("size", ["batch", "_x", "2x", "a-b", -1, 2.5, True, "max"])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(GraphError, match=r"no (usable name|size)"):
        Input((size, 4))


def test_dims_as_text():
    assert make_dims([3, "time"], "x") == (3, "time")
    assert dim_names(["floordiv(time, 2) - words", "time"]) == ["time", "words"]
    assert rename_dims(("a - b", 3, "max(a, 2)"), {"a": "b", "b": "a"}) == ("b - a", 3, "max(b, 2)")
    assert show_dims(("batch", "_000000001", "time - 2", 4)) == "[batch, ?, time - 2, 4]"


def test_ops_keep_expressions():
    x = Input(("time", 4))
    assert kgraph.ops.flip(x[:, 1:], axis=1).symbolic_shape == ("batch", "time - 1", 4)


def test_a_multiple_makes_halving_and_doubling_exact() -> None:
    def hourglass(height: str | None) -> Any:
        inputs = kgraph.Input((height, 8, 3))
        small = kgraph.layers.MaxPooling2D()(inputs)
        large = kgraph.layers.UpSampling2D()(small)
        return kgraph.Model(inputs, kgraph.layers.concatenate([inputs, large]))

    with pytest.raises(GraphError, match=r"sizes differ on axis 1[\s\S]*16\*height"):
        hourglass(None)
    model = hourglass("2*height")
    assert model.output.symbolic_shape == ("batch", "2*height", 8, 6)
    assert model(np.zeros((1, 6, 8, 3), np.float32)).shape == (1, 6, 8, 6)
    with pytest.raises(DataError, match="5 is no multiple of 2"):
        model(np.zeros((1, 5, 8, 3), np.float32))
