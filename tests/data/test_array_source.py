"""Batches of arrays: order, resuming, weights, and bad options."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgraph.data import (
    ArraySource,
    class_weights_to_sample_weights,
    make_source,
)
from kgraph.errors import ConfigError, DataError


@given(
    rows=st.integers(1, 40),
    size=st.integers(1, 12),
    steps=st.none() | st.integers(1, 9),
    shuffle=st.sampled_from([True, False, "batch"]),
    index=st.integers(0, 6),
    data=st.data(),
)
def test_any_place_of_any_epoch_can_be_made_again(rows, size, steps, shuffle, index, data):
    x = np.arange(rows)
    make = lambda: ArraySource(x, x * 2, None, size, shuffle, 3, steps)  # noqa: E731
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = list(make().epoch(index))
        start = data.draw(st.integers(0, len(whole)))
        rest = list(make().epoch(index, start))
    assert [b[0].tolist() for b in rest] == [b[0].tolist() for b in whole[start:]]
    assert all((y == 2 * x).all() for x, y, _ in whole)
    in_a_row = np.concatenate([b[0] for b in whole])
    assert in_a_row.tolist() == make().row_order(index).tolist()
    if steps is None:
        assert sorted(in_a_row.tolist()) == list(range(rows))


def test_orders_depend_on_seed_and_epoch_alone():
    def order(seed, index):
        return ArraySource(np.arange(50), seed=seed).row_order(index).tolist()

    assert order(1, 0) == order(1, 0)
    assert order(np.int64(1), 2) == order(1, 2)
    seeds = (0, 1, 2, -1, 2**63, 2**64 - 2)  # any whole number will do
    assert len({tuple(order(seed, index)) for seed in seeds for index in (0, 1)}) == 12


def test_jax_arrays_give_jax_batches():
    x = {"a": jnp.arange(7.0), "b": np.arange(7)}
    for shuffle in (False, True):
        batches = [x for x, _, _ in ArraySource(x, batch_size=3, shuffle=shuffle).epoch(0)]
        assert all(isinstance(b["a"], jax.Array) for b in batches)
        assert all(isinstance(b["b"], np.ndarray) for b in batches)
        assert all((np.asarray(b["a"]) == b["b"]).all() for b in batches)
        assert [len(b["a"]) for b in batches] == [3, 3, 1]


def test_rows_in_order_are_views():
    x = np.arange(8, dtype="float32")
    (first, _, _), *_ = ArraySource(x, batch_size=4, shuffle=False).epoch(0)
    assert np.shares_memory(first, x)


def test_a_batch_larger_than_the_data():
    (only,) = ArraySource(np.zeros((3, 2)), batch_size=100).epoch(0)
    assert only[0].shape == (3, 2)
    assert only[1:] == (None, None)


def test_class_weight_becomes_sample_weight():
    y = np.array([0, 1, 2, 1])
    source = make_source(np.zeros(4), y, class_weight={1: 5.0}, shuffle=False)
    ((_, _, weights),) = source.epoch(0)
    assert weights.tolist() == [1.0, 5.0, 1.0, 5.0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sample_weight": np.ones(4)}, "cannot be used together with `sample_weight`"),
        ({"y": None}, r"`class_weight` needs targets \(y\)"),
        ({"y": [np.zeros(4), np.zeros(4)]}, "needs the labels of one output"),
        ({"y": np.zeros((4, 2, 2))}, r"one output[\s\S]*\(4, 2, 2\)"),
        ({"y": np.array([0, 1, np.nan, 1])}, "y holds NaN"),
        ({"class_weight": [1.0, 2.0]}, r"is not a dict[\s\S]*dict\(enumerate"),
        ({"class_weight": {}}, "is not a dict"),
        ({"class_weight": {"a": 1.0}}, "bad entry for 'a'"),
        ({"class_weight": {0: float("nan")}}, "bad entry for 0"),
        ({"class_weight": {0: -1.0}}, "bad entry for 0"),
    ],
)
def test_bad_class_weights(options, text):
    with pytest.raises(DataError, match=text):
        make_source(np.zeros(4), **{"y": np.zeros(4), "class_weight": {0: 2.0}, **options})


def test_huge_labels_take_no_memory():
    weights = class_weights_to_sample_weights(np.array([10**15, 3]), {10**15: 2.0})
    assert weights.tolist() == [2.0, 1.0]


def test_bad_options_of_arrays():
    with pytest.raises(ConfigError, match=r"`shuffle`[\s\S]*'batch'"):
        make_source(np.zeros(4), shuffle="rows")
    with pytest.raises(DataError, match="`steps_per_epoch` cannot be 0"):
        make_source(np.zeros(4), steps_per_epoch=0)
    with pytest.raises(DataError, match="x is None"):
        make_source(None)
