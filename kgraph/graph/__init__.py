"""The graph: immutable data, without JAX."""

from kgraph.graph.freeze import Frozen, freeze
from kgraph.graph.graph import Graph
from kgraph.graph.node import LayerSpec, Node, Ref, TensorSpec, WeightSpec
from kgraph.graph.symbol import Call, KerasTensor, MaskOf, SymbolicTensor
from kgraph.graph.traits import (
    Activated,
    Convolution,
    LinearForm,
    Normalization,
    Projection,
    Traits,
)
from kgraph.graph.verify import verify
from kgraph.source import Source, user_source

__all__ = [
    "Activated",
    "Call",
    "Convolution",
    "Frozen",
    "Graph",
    "KerasTensor",
    "LayerSpec",
    "LinearForm",
    "MaskOf",
    "Node",
    "Normalization",
    "Projection",
    "Ref",
    "Source",
    "SymbolicTensor",
    "TensorSpec",
    "Traits",
    "WeightSpec",
    "freeze",
    "user_source",
    "verify",
]
