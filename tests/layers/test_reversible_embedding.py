"""ReversibleEmbedding beyond the table: both directions of one table, masks, dtypes, messages."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kgraph import Model
from kgraph.errors import ConfigError, DataError
from kgraph.layers.base import Input
from kgraph.layers.core import Embedding, ReversibleEmbedding


def test_both_directions_train_one_table():
    ids = Input(("time",), dtype="int32")
    layer = ReversibleEmbedding(7, 4)
    model = Model(ids, layer(layer(ids), reverse=True))
    assert [w.shape for w in model.weights] == [(7, 4)]
    table = layer.embeddings.numpy()
    np.testing.assert_allclose(model(np.array([[1, 6]])), table[[1, 6]][None] @ table.T, atol=1e-6)


def test_the_mask_of_the_ids_goes_all_the_way():
    ids = Input((4,), dtype="int32")
    layer = ReversibleEmbedding(7, 4, mask_zero=True)
    vectors = layer(ids)
    assert vectors.mask is not None
    assert layer(vectors, reverse=True).mask is not None


def test_scores_are_computed_in_their_own_dtype():
    layer = ReversibleEmbedding(7, 4, reverse_dtype="float32", dtype="mixed_bfloat16")
    vectors = layer(np.array([[1, 2]]))
    assert vectors.dtype == jnp.bfloat16
    assert layer(vectors, reverse=True).dtype == jnp.float32
    assert ReversibleEmbedding(7, 4, dtype="bfloat16")(vectors, reverse=True).dtype == jnp.bfloat16


def test_scores_stay_below_their_cap():
    layer = ReversibleEmbedding(7, 4, logit_soft_cap=2.0, embeddings_initializer="ones")
    assert np.max(layer(np.full((1, 4), 100.0, "float32"), reverse=True)) <= 2
    with pytest.raises(ConfigError, match=r"positive logit_soft_cap[\s\S]*0"):
        ReversibleEmbedding(7, 4, logit_soft_cap=0)


def test_ids_are_checked_and_vectors_are_not():
    layer = ReversibleEmbedding(7, 4)
    with pytest.raises(DataError, match="no row for 1 of 2 ids"):
        layer(np.array([1, 7]))
    assert layer(np.full((1, 4), 9.5, "float32"), reverse=True).shape == (1, 7)


def test_a_plain_embedding_has_the_same_weights():
    config = Embedding(7, 4).get_config()
    assert set(config) <= set(ReversibleEmbedding(7, 4).get_config())
    layer = ReversibleEmbedding(7, 4, tie_weights=False)
    layer(Input((3,), dtype="int32"))
    values = [np.ones((7, 4)), np.zeros((4, 7))]
    layer.set_weights(values)
    scores = jax.jit(lambda x: layer(x, reverse=True))(jnp.ones((1, 4)))
    np.testing.assert_array_equal(scores, np.zeros((1, 7)))
