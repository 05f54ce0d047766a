"""GroupQueryAttention: several query heads share a head of keys and values."""

from __future__ import annotations

from typing import Unpack

from kgraph.errors import ConfigError
from kgraph.layers.attention.multi_head_attention import MultiHeadAttention
from kgraph.layers.base.options import CommonOptions
from kgraph.types import ConstraintLike, InitializerLike, RegularizerLike


class GroupQueryAttention(MultiHeadAttention):
    """MultiHeadAttention with fewer heads for key and value than for the query.

    Shapes, masks and call arguments: see `MultiHeadAttention`.

    Args:
        head_dim: size of every head.
        num_query_heads: number of heads of the query.
        num_key_value_heads: number of heads of key and value; divides `num_query_heads`.
        dropout to seed: see `MultiHeadAttention`.

    Raises:
        ConfigError: the numbers of heads do not divide; see also `MultiHeadAttention`.

    Source: Ainslie et al., arXiv:2305.13245.

    >>> from kgraph.layers import Input
    >>> query, value = Input((5, 8)), Input((7, 8))
    >>> GroupQueryAttention(4, num_query_heads=4, num_key_value_heads=2)(query, value).shape
    (None, 5, 8)
    """

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        activity_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        use_gate: bool = False,
        seed: int | None = None,
        **options: Unpack[CommonOptions],
    ) -> None:
        super().__init__(
            num_query_heads, head_dim, None, dropout, use_bias, None, None,
            sliding_window, flash_attention, kernel_initializer, bias_initializer,
            kernel_regularizer, bias_regularizer, activity_regularizer,
            kernel_constraint, bias_constraint, use_gate, seed, **options,
        )  # fmt: skip
        if num_key_value_heads <= 0 or num_query_heads % num_key_value_heads:
            raise ConfigError(
                "GroupQueryAttention needs a number of query heads that its number of "
                "key and value heads divides",
                received=f"{num_query_heads} and {num_key_value_heads}",
            )
        self.key_value_heads = num_key_value_heads
