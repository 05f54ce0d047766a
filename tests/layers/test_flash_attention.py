"""The option flash_attention: which kernel is asked for, and what it cannot do."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from kgraph import config
from kgraph.errors import ConfigError, GraphError
from kgraph.layers.attention import GroupQueryAttention, MultiHeadAttention
from kgraph.layers.base import Input

X = np.random.default_rng(0).normal(size=(2, 4, 6)).astype("float32")


def test_the_fused_kernel_is_asked_for_where_there_is_one(monkeypatch: pytest.MonkeyPatch):
    asked = []
    plain = jax.nn.dot_product_attention

    def noted(*arrays, implementation, **options):
        asked.append(implementation)
        return plain(*arrays, **options)

    monkeypatch.setattr(jax.nn, "dot_product_attention", noted)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for flash, kernel in ((True, "cudnn"), (None, None), (False, None)):
        layer = MultiHeadAttention(2, 3, flash_attention=flash)
        layer(Input((4, 6)), Input((4, 6)))  # sizes are not known yet
        assert set(asked) <= {None}
        asked.clear()
        layer(X, X)
        assert asked == [kernel]
        asked.clear()


def test_the_switch_asks_for_it_where_it_can_be_used(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert config.is_flash_attention_enabled() is False
    config.enable_flash_attention()
    layers = {option: MultiHeadAttention(2, 8, flash_attention=option) for option in (None, False)}
    config.disable_flash_attention()
    layers["before"] = MultiHeadAttention(2, 8)
    short, wide = np.zeros((2, 4, 2, 8), "float16"), np.zeros((2, 4, 2, 8), "float32")
    odd, large = np.zeros((2, 3, 2, 8), "float16"), np.zeros((2, 4, 2, 136), "float16")
    assert layers[None]._kernel(short, short) == "cudnn"
    for query in (wide, odd, large):
        assert layers[None]._kernel(query, query) is None
    assert layers[False]._kernel(short, short) is layers["before"]._kernel(short, short) is None


def test_elsewhere_the_numbers_are_those_of_xla():
    flash = GroupQueryAttention(3, 4, 2, flash_attention=True)
    plain = GroupQueryAttention(3, 4, 2)
    one = flash(X, X)
    plain(X, X)
    plain.set_weights(flash.get_weights())
    np.testing.assert_array_equal(plain(X, X), one)


def test_what_the_fused_kernel_cannot_do_is_refused():
    with pytest.raises(ConfigError, match=r"drop attention weights[\s\S]*dropout=0.1"):
        MultiHeadAttention(2, 3, dropout=0.1, flash_attention=True)
    with pytest.raises(GraphError, match=r"flash attention for this call[\s\S]*scores=True"):
        MultiHeadAttention(2, 3, flash_attention=True)(X, X, return_attention_scores=True)
    with pytest.raises(GraphError, match=r"value_dim equal to key_dim"):
        MultiHeadAttention(2, 3, value_dim=5, flash_attention=True)(X, X)
