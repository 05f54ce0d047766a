"""Whether Keras will count the layers of a model as kgraph does, masks and all.

Files address weights by the position of a layer among those of its class. Positions come from the
distance to the outputs. When Keras rebuilds a model, masks become operations with edges of their
own, which can move what stands before them further away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kgraph.graph.graph import Graph
from kgraph.graph.node import Node
from kgraph.layers.base import Layer
from kgraph.layers.base.tree import children, has_weights
from kgraph.saving.keras_format.models_out import ModelWriter

_LENGTHS = (1, 2, 3, 6)
"""How many operations a mask may take in Keras: one for Embedding, two for Masking, or more."""


def check_order(model: Layer, writer: ModelWriter) -> None:
    """Notes layers of one class whose order in Keras could be another because of masks."""
    for graph, layers in _graphs(model):
        if not any(mask is not None for node in graph.nodes for mask in node.masks):
            continue
        plain = _distances(graph, 0)
        for length in _LENGTHS:
            masked = _distances(graph, length)
            for first, second in _neighbours(layers):
                before, after = plain[first] - plain[second], masked[first] - masked[second]
                if after < 0 or (after == 0 and before != 0):
                    writer.cannot(f"{first!r} and {second!r}", "masks make their order uncertain")


def _graphs(model: Any) -> Iterator[tuple[Graph, Mapping[str, Layer]]]:
    if model._kgraph_inner_graph is not None:
        yield model._kgraph_inner_graph, model._kgraph.layers
    for _, child in children(model):
        yield from _graphs(child)


def _neighbours(layers: Mapping[str, Layer]) -> Iterator[tuple[str, str]]:
    """Yields the names of each two layers of one class that follow each other and have weights."""
    last: dict[type, str] = {}
    for name, layer in layers.items():
        if has_weights(layer):
            if type(layer) in last:
                yield last[type(layer)], name
            last[type(layer)] = name


def _distances(graph: Graph, length: int) -> dict[str, int]:
    """Returns the distance of each layer from the outputs, masks being so many calls long.

    A length of 0 counts masks for nothing.
    """
    calls: dict[str, int] = {}
    layers: dict[str, int] = {}
    for node in reversed(graph.nodes):
        own = max(calls.get(node.name, 0), layers.get(node.layer, 0))
        calls[node.name] = layers[node.layer] = own
        for parent, edges in _parents(graph, node, length):
            calls[parent] = max(calls.get(parent, 0), own + edges)
    return layers


def _parents(graph: Graph, node: Node, length: int) -> Iterator[tuple[str, int]]:
    for ref in node.inputs:
        yield ref.node, 1
    if not length:
        return
    for mask in node.masks:
        if mask is not None:
            for ref in graph.by_name[mask.node].inputs:
                yield ref.node, 1 + length
