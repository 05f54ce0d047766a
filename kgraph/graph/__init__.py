"""The graph: immutable data, without JAX."""

from kgraph.graph.freeze import Frozen, freeze
from kgraph.graph.graph import Graph
from kgraph.graph.node import LayerSpec, Node, Ref, TensorSpec, WeightSpec
from kgraph.graph.source import Source, user_source
from kgraph.graph.symbol import Call, MaskOf, SymbolicTensor
from kgraph.graph.verify import verify

__all__ = [
    "Call",
    "Frozen",
    "Graph",
    "LayerSpec",
    "MaskOf",
    "Node",
    "Ref",
    "Source",
    "SymbolicTensor",
    "TensorSpec",
    "WeightSpec",
    "freeze",
    "user_source",
    "verify",
]
