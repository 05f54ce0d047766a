"""Rows whose mask is False at every step give 0, and masks that do not fit are refused."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kgraph import layers, metrics
from kgraph.errors import GraphError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 6)).astype("float32")
MASK = np.array([[0, 0, 0, 0], [1, 1, 0, 1], [1, 0, 0, 0]], bool)
ALL = np.ones_like(MASK)


def attend(layer: Any, x: Any, mask: np.ndarray, **more: Any) -> Any:
    return layer(x, x, value_mask=mask, **more)


def scored(layer: Any, x: Any, mask: np.ndarray) -> Any:
    return attend(layer, x, mask, return_attention_scores=True)[0]


def causal(layer: Any, x: Any, mask: np.ndarray) -> Any:
    return attend(layer, x, mask, use_causal_mask=True)


def plainly(layer: Any, x: Any, mask: np.ndarray) -> Any:
    return layer(x, mask=mask)


def listed(layer: Any, x: Any, mask: np.ndarray) -> Any:
    return layer([x, x], mask=[None, mask])


CALLS: dict[str, tuple[Any, Any]] = {
    "pooling": (lambda: layers.GlobalAveragePooling1D(), plainly),
    "softmax": (lambda: layers.Softmax(), lambda f, x, m: f(x[..., 0], mask=m)),
    "heads": (lambda: layers.MultiHeadAttention(2, 3, use_bias=False), attend),
    "scored heads": (lambda: layers.MultiHeadAttention(2, 3, use_bias=False), scored),
    "causal heads": (lambda: layers.MultiHeadAttention(2, 3, use_bias=False), causal),
    "grouped heads": (lambda: layers.GroupQueryAttention(3, 2, 1, use_bias=False), attend),
    "attention": (lambda: layers.Attention(), listed),
    "additive": (lambda: layers.AdditiveAttention(), listed),
    "lstm": (lambda: layers.LSTM(2), plainly),
    "gru": (lambda: layers.Bidirectional(layers.GRU(2)), plainly),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_wholly_masked_row_is_zero_and_changes_no_other(name: str):
    make, call = CALLS[name]
    layer = make()
    masked = np.asarray(call(layer, X, MASK))
    np.testing.assert_array_equal(masked[0], np.zeros_like(masked[0]))
    other = np.concatenate([ALL[:1], MASK[1:]])
    np.testing.assert_allclose(np.asarray(call(layer, X, other))[1:], masked[1:], rtol=1e-6)
    assert np.any(np.asarray(call(layer, X, other))[0] != 0)
    gradient = jax.grad(lambda x: jnp.sum(call(layer, x, MASK)))(jnp.asarray(X))
    assert np.all(np.isfinite(gradient))


def test_queries_that_a_causal_mask_leaves_nothing_are_zero():
    layer = layers.MultiHeadAttention(2, 3, use_bias=False)
    late = np.array([[0, 1, 1, 1]] * 3, bool)  # the first query sees itself alone, and may not
    result = np.asarray(attend(layer, X, late, use_causal_mask=True))
    np.testing.assert_array_equal(result[:, 0], 0)
    result_too, weights = attend(layer, X, late, use_causal_mask=True, return_attention_scores=True)
    np.testing.assert_allclose(result, result_too, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(weights)[:, :, 0], 0)


def test_the_mean_of_the_kept_steps():
    pooled = layers.GlobalAveragePooling1D()(X, mask=MASK)
    np.testing.assert_allclose(pooled[1], X[1, [0, 1, 3]].mean(0), rtol=1e-6)


@pytest.mark.parametrize("renorm", [False, True])
def test_a_batch_that_is_masked_as_a_whole_moves_no_statistics(renorm: bool):
    layer = layers.BatchNormalization(renorm=renorm)
    layer(X, training=True)
    before = layer.get_weights()
    assert np.all(np.isfinite(layer(X, mask=~ALL, training=True)))
    for one, two in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("renorm", [False, True])
def test_a_batch_without_rows_moves_no_statistics(renorm: bool):
    layer = layers.BatchNormalization(renorm=renorm)
    layer(X, training=True)
    before = layer.get_weights()
    assert layer(X[:0], training=True).shape == (0, *X.shape[1:])
    for one, two in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("aggregation", [None, "uniform_average", "variance_weighted_average"])
def test_r2_of_no_weight_is_zero(aggregation: str | None):
    metric = metrics.R2Score(aggregation)
    metric.update_state(X[:, 0], X[:, 1], sample_weight=np.zeros(3, "float32"))
    np.testing.assert_array_equal(metric.result(), np.zeros_like(metric.result()))


LONG, FLOATS = np.ones((3, 5), bool), np.ones((3, 4), "float32")
REFUSED: dict[str, Any] = {
    "pooling": lambda m: layers.GlobalAveragePooling1D()(X, mask=m),
    "rnn": lambda m: layers.GRU(2)(X, mask=m),
    "bidirectional": lambda m: layers.Bidirectional(layers.LSTM(2))(X, mask=m),
    "conv lstm": lambda m: layers.ConvLSTM1D(2, 1)(X[..., None], mask=m),
    "time distributed": lambda m: layers.TimeDistributed(layers.Dense(2))(X, mask=m),
    "batch normalization": lambda m: layers.BatchNormalization()(X, mask=m, training=True),
    "attention": lambda m: layers.Attention()([X, X], mask=[None, m]),
    "query": lambda m: layers.MultiHeadAttention(1, 2)(X, X, query_mask=m),
    "value": lambda m: layers.MultiHeadAttention(1, 2)(X, X, value_mask=m),
    "key": lambda m: layers.MultiHeadAttention(1, 2)(X, X, key=X, key_mask=m),
    "scores": lambda m: layers.MultiHeadAttention(1, 2)(X, X, attention_mask=np.stack([m] * 4, 1)),
    "merged": lambda m: layers.Multiply()([X, X], mask=[m, None]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_mask_of_another_shape_or_kind_is_refused_by_name(name: str):
    with pytest.raises(GraphError, match=r"mask[\s\S]*expected[\s\S]*received"):
        REFUSED[name](LONG)
    with pytest.raises(GraphError, match=r"mask[\s\S]*truth values[\s\S]*!= 0"):
        REFUSED[name](FLOATS)
    REFUSED[name](ALL)


def test_the_mask_of_a_graph_is_checked_where_the_layer_is_called():
    with pytest.raises(GraphError, match=r"mask[\s\S]*test_masked_rows.py"):
        layers.GlobalAveragePooling1D()(layers.Input((4, 6)), mask=np.ones((1, 5), bool))
