"""Removes nodes that no output depends on."""

from __future__ import annotations

from dataclasses import replace

from kgraph.graph.graph import Graph


def drop_unused(graph: Graph) -> Graph:
    """Removes every node that no output depends on, and layers that no node calls.

    Needs: nodes in topological order. Keeps: inputs, outputs, nodes with an effect (a state update
    or an added loss is wanted for itself), and the names of what stays, so neither parameters nor
    random keys move. A second run changes nothing.
    """
    needed = {ref.node for ref in (*graph.inputs, *graph.outputs)}
    needed |= {ref.node for out in graph.outputs if (ref := graph.mask_of(out)) is not None}
    for node in reversed(graph.nodes):
        if node.name in needed or {"state", "loss"} & set(node.effects):
            needed.add(node.name)
            needed.update(ref.node for ref in node.reads)
    nodes = tuple(node for node in graph.nodes if node.name in needed)
    called = {node.layer for node in nodes}
    layers = {name: spec for name, spec in graph.layers.items() if name in called}
    if len(nodes) == len(graph.nodes) and len(layers) == len(graph.layers):
        return graph
    return replace(graph, nodes=nodes, layers=layers)
