"""ReversibleEmbedding: a table of vectors, read by number, that also turns vectors into scores."""

from __future__ import annotations

from typing import Any, Unpack

import jax.numpy as jnp

from kgraph.errors import ConfigError
from kgraph.graph.traits import Projection, Traits
from kgraph.layers.base.adaptable import AdaptableOptions, adapted
from kgraph.layers.base.core import label_of
from kgraph.layers.core.embedding import Embedding
from kgraph.types import Array, ConstraintLike, InitializerLike, RegularizerLike


def _traits(layer: ReversibleEmbedding) -> Traits:
    if layer.logit_soft_cap is not None or layer.lora_enabled:
        return Traits()
    tied, dtype = layer.tie_weights, layer.reverse_dtype or layer.compute_dtype
    kernel = "embeddings" if tied else "reverse_embeddings"
    return Traits(projection=Projection(kernel, "", tied, dtype, flag="reverse"))


class ReversibleEmbedding(Embedding, traits=_traits):
    """Returns a row of its table for each id; called with `reverse=True`, a score for each row.

    The score of a row is its product with the given vector: the last layer of a language model.

    Shapes: as of `Embedding`; with `reverse=True` `[batch, *any, output_dim]` in and
    `[batch, *any, input_dim]` out. Weights: `embeddings` `[input_dim, output_dim]`, and unless they
    are tied `reverse_embeddings` `[output_dim, input_dim]`.
    Dtype: the product is computed and returned in `reverse_dtype`.

    Args:
        input_dim: number of rows; ids are below it.
        output_dim: size of each row.
        tie_weights: whether the scores use the table itself, or a matrix of their own.
        embeddings_initializer, embeddings_regularizer, embeddings_constraint: of the table; the
            initializer also of the other matrix.
        mask_zero: whether id 0 is padding.
        reverse_dtype: by default the compute dtype.
        logit_soft_cap: scores become `tanh(score / cap) * cap`, and so stay below it.

    Raises:
        ConfigError: `logit_soft_cap` is not positive; also that, StateError and DataError as of
            `Embedding`.

    Source: Press and Wolf, arXiv:1608.05859.

    >>> import numpy as np
    >>> layer = ReversibleEmbedding(100, 8)
    >>> layer(layer(np.array([[1, 2, 3]])), reverse=True).shape
    (1, 3, 100)
    """

    _reversing = False

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: InitializerLike = "uniform",
        embeddings_regularizer: RegularizerLike | None = None,
        embeddings_constraint: ConstraintLike | None = None,
        mask_zero: bool = False,
        reverse_dtype: str | None = None,
        logit_soft_cap: float | None = None,
        **options: Unpack[AdaptableOptions],
    ) -> None:
        self.tie_weights = tie_weights  # may build at once, if it is given `weights`
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
            mask_zero,
            **options,
        )
        if logit_soft_cap is not None and not logit_soft_cap > 0:
            raise ConfigError(
                f"{label_of(self)} needs a positive logit_soft_cap", received=repr(logit_soft_cap)
            )
        self.reverse_dtype, self.logit_soft_cap = reverse_dtype, logit_soft_cap

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        if not self.tie_weights:
            self.reverse_embeddings = self.add_weight(
                (self.output_dim, self.input_dim),
                self.embeddings_initializer,
                name="reverse_embeddings",
            )

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        if not (args[1] if len(args) > 1 else kwargs.get("reverse", False)):
            super()._kgraph_check_call(args, kwargs)

    def call(self, inputs: Array, reverse: bool = False) -> Array:
        self._reversing = reverse
        if not reverse:
            return super().call(inputs)
        dtype = self.reverse_dtype or self.compute_dtype
        kernel = adapted(self, self.embeddings).T if self.tie_weights else self.reverse_embeddings
        scores = inputs.astype(dtype) @ kernel.astype(dtype)
        if self.logit_soft_cap is not None:
            scores = jnp.tanh(scores / self.logit_soft_cap) * self.logit_soft_cap
        return scores

    def compute_mask(self, inputs: Array, previous_mask: Array | None = None) -> Array | None:
        return previous_mask if self._reversing else super().compute_mask(inputs)
