"""Attention layers."""

from kgraph.layers.attention.attention import AdditiveAttention, Attention
from kgraph.layers.attention.group_query_attention import GroupQueryAttention
from kgraph.layers.attention.multi_head_attention import MultiHeadAttention

__all__ = ["AdditiveAttention", "Attention", "GroupQueryAttention", "MultiHeadAttention"]
