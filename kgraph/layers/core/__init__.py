"""Layers that most models are made of."""

from kgraph.layers.core.activation import Activation
from kgraph.layers.core.dense import Dense
from kgraph.layers.core.embedding import Embedding
from kgraph.layers.core.identity import Identity
from kgraph.layers.core.lambda_layer import Lambda
from kgraph.layers.core.masking import Masking

__all__ = ["Activation", "Dense", "Embedding", "Identity", "Lambda", "Masking"]
