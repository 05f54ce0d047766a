"""Layers around functions and modules of other libraries."""

from kgraph.layers.interop.flax_layer import FlaxLayer
from kgraph.layers.interop.jax_layer import JaxLayer

__all__ = ["FlaxLayer", "JaxLayer"]
