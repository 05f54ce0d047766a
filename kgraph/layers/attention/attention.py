"""Attention and AdditiveAttention: without projections and heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from kgraph.errors import GraphError, check_choice
from kgraph.graph.structure import is_structure
from kgraph.layers.attention.heads import band, join_masks, softmax_where
from kgraph.layers.base import Layer
from kgraph.layers.base.core import label_of, next_key
from kgraph.layers.base.mask_check import check_mask, check_masks
from kgraph.layers.base.options import LayerOptions
from kgraph.types import Array


class Attention(Layer):
    """Weighs values by how well their keys match a query.

    Shapes: a list of query `[batch, target, features]`, value `[batch, source, out]` and perhaps
    key `[batch, source, features]` (the value by default) in; `[batch, target, out]` out, and with
    `return_attention_scores` also the weights `[batch, target, source]`.
    Masks: steps of the value whose mask is False get no weight; steps of the query whose mask is
    False give 0. The mask of the query goes through.
    Dtype: the softmax is float32.

    Args:
        use_scale: whether the scores are multiplied with a trained number.
        score_mode: "dot" for products, "concat" for the sum of `tanh(query + key)`.
        dropout: rate at which weights are dropped in training.
        seed: of the dropout; None follows the key and the path.

    Raises:
        ConfigError: an unknown `score_mode`.
        GraphError: the input is not a list of two or three.

    Source: Luong et al., arXiv:1508.04025.

    >>> from kgraph.layers import Input
    >>> Attention()([Input((5, 8)), Input((7, 8))]).shape
    (None, 5, 8)
    """

    supports_masking = True

    scale: Any = None

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        check_choice(type(self).__name__, "score_mode", score_mode, ("dot", "concat"))
        self.use_scale, self.score_mode = use_scale, score_mode
        self.dropout, self.seed = dropout, seed

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        inputs: Any = args[0] if args else kwargs.get("inputs")
        if not is_structure(inputs) or len(inputs) not in (2, 3):
            raise GraphError(
                f"{label_of(self)} takes a list",
                expected="[query, value] or [query, value, key]",
                received=type(inputs).__name__,
            )
        mask = kwargs.get("mask")
        if mask is not None and (not is_structure(mask) or len(mask) not in (2, 3)):
            raise GraphError(
                f"{label_of(self)} cannot use this `mask`",
                expected="[query_mask, value_mask], each a mask or None",
                received=f"{len(mask)} of them" if is_structure(mask) else type(mask).__name__,
            )

    def build(self, input_shape: Sequence[Any]) -> None:
        if self.use_scale:
            self.scale = self.add_weight((), "ones", name="scale")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight((), "ones", name="concat_score_weight")

    def scores(self, query: Array, key: Array) -> Array:
        """Returns how well each key matches each query, `[batch, target, source]`."""
        if self.score_mode == "dot":
            products = query @ jnp.swapaxes(key, -2, -1)
            return products if self.scale is None else products * self.scale
        together = jnp.expand_dims(query, -2) + jnp.expand_dims(key, -3)
        together = together if self.scale is None else together * self.scale
        return self.concat_score_weight * jnp.sum(jnp.tanh(together), axis=-1)

    def call(
        self,
        inputs: Sequence[Array],
        mask: Sequence[Array | None] | None = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        query, value = inputs[0], inputs[1]
        key = inputs[2] if len(inputs) > 2 else value
        query_mask, value_mask = (None, None) if mask is None else (mask[0], mask[1])
        check_mask(self, query_mask, query.shape[:-1], "mask[0]")
        check_mask(self, value_mask, value.shape[:-1], "mask[1]")
        scores = self.scores(query, key)
        seen = join_masks(
            [
                None if value_mask is None else jnp.expand_dims(value_mask, -2),
                band(scores.shape[-2], scores.shape[-1], use_causal_mask, None),
            ],
            scores.ndim,
            axes=1,
        )
        weights = softmax_where(scores, seen, [-1])
        if training and self.dropout:
            kept = jax.random.bernoulli(next_key(self), 1 - self.dropout, weights.shape)
            weights = jnp.where(kept, weights / (1 - self.dropout), 0)
        result = weights @ value
        if query_mask is not None:
            result = jnp.where(jnp.expand_dims(query_mask, -1), result, 0)
        return (result, weights) if return_attention_scores else result

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:  # pyright: ignore
        """Returns the mask of the query. `mask` is what Keras calls the argument here."""
        return check_masks(self, inputs, mask, (2, 3))[0]


class AdditiveAttention(Attention):
    """Attention whose scores are a weighted sum of `tanh(query + key)`.

    Shapes, masks and call arguments: see `Attention`. Weight: `scale` `[features]`.

    Args:
        use_scale: whether the sum is weighted.
        dropout: rate at which weights are dropped in training.

    Source: Bahdanau et al., arXiv:1409.0473.

    >>> from kgraph.layers import Input
    >>> AdditiveAttention()([Input((5, 8)), Input((7, 8))]).shape
    (None, 5, 8)
    """

    def __init__(
        self, use_scale: bool = True, dropout: float = 0.0, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(use_scale, dropout=dropout, **options)

    def build(self, input_shape: Sequence[Any]) -> None:
        if self.use_scale:
            self.scale = self.add_weight((input_shape[0][-1],), "glorot_uniform", name="scale")

    def scores(self, query: Array, key: Array) -> Array:
        hidden = jnp.tanh(jnp.expand_dims(query, -2) + jnp.expand_dims(key, -3))
        return jnp.sum(hidden, -1) if self.scale is None else hidden @ self.scale
