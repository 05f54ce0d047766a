"""Names that are private in Keras, and that subclasses and libraries written for it use."""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np
import pytest

import kgraph

X = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("float32")
SEEN = np.tril(np.ones((5, 5), bool))[None]


def by_parts(api: Any) -> Any:
    class Parts(api.layers.MultiHeadAttention):
        """Projects, attends and joins by itself, as layers with a cache do."""

        def call(self, query: Any, value: Any, key: Any = None) -> Any:
            assert (self._num_heads, self._key_dim, self._value_dim) == (2, 4, 4)
            picked, _ = self._compute_attention(
                self._query_dense(query), self._key_dense(value), self._value_dense(value),
                attention_mask=SEEN,
            )  # fmt: skip
            return self._output_dense(picked)

    return Parts(2, 4)


def overridden(api: Any) -> Any:
    class Halved(api.layers.MultiHeadAttention):
        def _compute_attention(
            self, query: Any, key: Any, value: Any, *args: Any, **kw: Any
        ) -> Any:
            picked, weights = super()._compute_attention(query, key, value, *args, **kw)
            return picked * 0.5, weights

    return Halved(2, 4)


@pytest.mark.parametrize("make", [by_parts, overridden])
def test_attention_by_its_parts_is_that_of_keras(make: Any) -> None:
    theirs, ours = make(keras), make(kgraph)
    causal = {"use_causal_mask": True} if make is overridden else {}
    with jax.numpy_rank_promotion("allow"):
        expected = theirs(X, X, **causal)
    ours.build(X.shape, X.shape)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours(X, X, **causal), expected, atol=1e-5)
    inputs = kgraph.Input((5, 8))
    model = kgraph.Model(inputs, ours(inputs, inputs, **causal))
    np.testing.assert_allclose(model(X), expected, atol=1e-5)


def test_what_a_subclass_sets_itself_counts() -> None:
    layer = by_parts(kgraph)
    layer._query_dense = None
    assert layer._query_dense is None


def test_flatten_layers_finds_what_it_finds_in_keras() -> None:
    def names(api: Any, **options: Any) -> set[str]:
        L = api.layers
        inner = api.Sequential([api.Input((2,)), L.Dense(1, name="u")], name="inner")
        model = api.Sequential([api.Input((3,)), L.Dense(2, name="k"), inner], name="outer")
        found = [layer.name for layer in model._flatten_layers(**options)]
        return {name for name in found if "input" not in name}

    for options in ({}, {"include_self": False}, {"recursive": False}):
        assert names(kgraph, **options) == names(keras, **options)


def test_a_model_made_of_tensors_takes_a_policy_and_its_layers_keep_theirs() -> None:
    inputs = kgraph.Input((3,))
    model = kgraph.Model(inputs, kgraph.layers.Dense(2)(inputs))
    model.dtype_policy = "mixed_bfloat16"
    assert model.dtype_policy.name == "mixed_bfloat16"
    assert model.layers[-1].compute_dtype == "float32"
    assert model(np.ones((1, 3))).dtype == "float32"
