"""Layers that most models are made of."""

from kgraph.layers.core.dense import Dense

__all__ = ["Dense"]
