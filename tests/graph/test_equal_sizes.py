"""Unknown sizes without a name that meet in a call are one, as Keras takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import DataError, GraphError
from kgraph.layers.base import equal_sizes


def two_texts(api: Any) -> Any:
    """Words and their segments, each of a length that nobody named, and a mask of the words."""
    words, segments, mask = (api.Input((None,), dtype="int32", name=n) for n in "wsm")
    x = api.layers.Embedding(7, 4)(words) + api.layers.Embedding(2, 4)(segments)
    attention = api.layers.MultiHeadAttention(2, 3)
    x = attention(x, x, attention_mask=api.ops.expand_dims(mask, 1))
    return api.Model([words, segments, mask], api.layers.Dense(1)(x))


W = np.arange(12, dtype="int32").reshape(2, 6) % 7
S, M = W % 2, np.array([[1] * 6, [1, 1, 1, 0, 0, 0]], "int32")


def test_models_of_several_unknown_lengths_are_those_of_keras() -> None:
    with jax.numpy_rank_promotion("allow"):
        theirs = two_texts(keras)
        expected = theirs.predict([W, S, M], verbose=0)
    model = two_texts(kgraph)
    model.set_weights(theirs.get_weights())
    np.testing.assert_allclose(model.predict([W, S, M], verbose=0), expected, atol=1e-6)
    assert model.predict([W[:, :4], S[:, :4], M[:, :4]], verbose=0).shape == (2, 4, 1)
    assert {size for one in model.graph.inputs for size in model.graph.spec(one).dims} == {
        "batch", "_1",
    }  # fmt: skip


def test_two_lengths_where_one_is_needed_are_refused() -> None:
    with pytest.raises(DataError, match=r"'s' has the wrong size \(its unknown size is 6 in 'w'"):
        two_texts(kgraph)([W, S[:, :1], M])  # 1 would be repeated


def test_as_few_as_work_are_one() -> None:
    asked, offered, seen = kgraph.Input((None, 4)), kgraph.Input((None, 4)), kgraph.Input((None,))

    class Look(kgraph.layers.Layer):
        def call(self, query: Any, value: Any, mask: Any) -> Any:
            scores = kgraph.ops.einsum("bqd,bkd->bqk", query, value) + mask[:, None, :]
            return kgraph.ops.einsum("bqk,bkd->bqd", scores, value)

    model = kgraph.Model([asked, offered, seen], Look()(asked, offered, seen))
    X = np.ones((2, 5, 4), "float32")
    assert model([X[:, :3], X, X[..., 0]]).shape == (2, 3, 4)
    with pytest.raises(DataError, match="wrong size"):
        model([X[:, :3], X, X[:, :3, 0]])


def test_what_follows_takes_the_same_for_one() -> None:
    """Four lengths of which two and two are one; each later call tries that first."""
    x, y, x_mask, y_mask = (kgraph.Input(s) for s in ((None, 4), (None, 4), (None,), (None,)))
    tries = []

    class Cross(kgraph.layers.Layer):
        def call(self, x: Any, y: Any, x_mask: Any, y_mask: Any) -> Any:
            tries.append(x.shape)
            x, y = x * x_mask[..., None], y * y_mask[..., None]
            return kgraph.ops.einsum("bqd,bkd,bke->bqe", x, y, y)

    first = Cross()(x, y, x_mask, y_mask)
    before = len(tries)
    second = Cross()(first, y, x_mask, y_mask)
    assert len(tries) == before + 2  # as they are, and as before
    model = kgraph.Model([x, y, x_mask, y_mask], second)
    assert [model.graph.spec(one).dims[1] for one in model.graph.inputs] == ["_1", "_2"] * 2


def test_names_and_what_follows_from_one_size_stay_exact() -> None:
    with pytest.raises(GraphError, match="incompatible"):
        kgraph.Input(("time", 4)) + kgraph.Input(("steps", 4))
    with pytest.raises(GraphError, match="incompatible"):
        kgraph.Input(("time", 4)) + kgraph.Input((None, 4))
    x, y = kgraph.Input((None, 4)), kgraph.Input((None, 4))
    with pytest.raises(GraphError, match="incompatible"):
        kgraph.layers.Conv1D(4, 3)(x) + x
    both = x + y
    with pytest.raises(GraphError, match="incompatible"):
        kgraph.layers.Conv1D(4, 3)(both) + y


def test_a_saved_and_an_exported_model_know_it(tmp_path: Path) -> None:
    model = two_texts(kgraph)
    expected = model.predict([W, S, M], verbose=0)
    model.save(tmp_path / "m.kgraph")
    loaded = kgraph.models.load_model(tmp_path / "m.kgraph")
    assert loaded.graph == model.graph
    np.testing.assert_array_equal(loaded.predict([W, S, M], verbose=0), expected)
    with pytest.raises(DataError, match="wrong size"):
        loaded([W, S[:, :1], M])
    model.export(tmp_path / "m.stablehlo")
    served = kgraph.export.load(tmp_path / "m.stablehlo")
    np.testing.assert_allclose(served([W, S, M]), expected, atol=1e-6)


def test_a_model_inside_takes_what_it_takes() -> None:
    inner = kgraph.Model([a := kgraph.Input((None, 4)), b := kgraph.Input((None, 4))], a + b)
    x, y = kgraph.Input((None, 4)), kgraph.Input((None, 4))
    model = kgraph.Model([x, y], inner([x, y]))
    assert model.graph.spec(model.graph.inputs[0]) == model.graph.spec(model.graph.inputs[1])


def test_masks_are_of_the_same_sizes() -> None:
    def built(api: Any) -> Any:
        words, tags = (api.Input((None,), dtype="int32", name=n) for n in "wt")
        both = [api.layers.Embedding(7, 4, mask_zero=True)(x) for x in (words, tags)]
        pooled = api.layers.GlobalAveragePooling1D()(api.layers.Add()(both))
        return api.Model([words, tags], pooled)

    with jax.numpy_rank_promotion("allow"):
        theirs = built(keras)
        expected = theirs.predict([W, S], verbose=0)
    model = built(kgraph)
    model.set_weights(theirs.get_weights())
    np.testing.assert_allclose(model.predict([W, S], verbose=0), expected, atol=1e-6)


def test_what_no_size_is_at_fault_for_is_not_tried_again() -> None:
    calls = []

    class Typo(kgraph.layers.Layer):
        def call(self, x: Any, y: Any) -> Any:
            calls.append(x)
            return x.no_such_method(y)

    with pytest.raises(GraphError, match="no_such_method"):
        Typo()(kgraph.Input((None, 4)), kgraph.Input((None, 4)))
    assert len(calls) == 1


def test_clear_session_forgets_them() -> None:
    kgraph.Input((None, 4)) + kgraph.Input((None, 4))
    assert equal_sizes._taken
    kgraph.utils.clear_session()
    assert not equal_sizes._taken
