"""Layers that most models are made of."""

from kgraph.layers.core.activation import Activation
from kgraph.layers.core.dense import Dense
from kgraph.layers.core.einsum_dense import EinsumDense
from kgraph.layers.core.embedding import Embedding
from kgraph.layers.core.identity import Identity
from kgraph.layers.core.lambda_layer import Lambda
from kgraph.layers.core.masking import Masking
from kgraph.layers.core.reversible_embedding import ReversibleEmbedding
from kgraph.layers.core.wrapper import Wrapper

__all__ = [
    "Activation", "Dense", "EinsumDense", "Embedding", "Identity", "Lambda", "Masking",
    "ReversibleEmbedding", "Wrapper",
]  # fmt: skip
