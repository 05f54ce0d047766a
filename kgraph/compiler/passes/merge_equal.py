"""Computes equal deterministic calls once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kgraph.descriptions import text_of
from kgraph.graph.graph import Graph
from kgraph.graph.node import Node, Ref
from kgraph.registry import describe


def merge_equal(graph: Graph) -> Graph:
    """Lets every group of equal calls be computed by its first.

    Calls are equal if they have the same layer, or layers of kgraph's own without weights and with
    equal options (a user's may differ in what no option says); the same inputs and masks and the
    same other arguments; and draw no random numbers, update no state and add no loss.
    Needs: nodes in topological order. Keeps: names of the nodes that stay. A second run changes
    nothing.
    """
    first: dict[str, str] = {}
    kept: list[Node] = []
    same: dict[str, str] = {}

    def now(ref: Ref) -> Ref:
        return replace(ref, node=same[ref.node]) if ref.node in same else ref

    for node in graph.nodes:
        if same:
            node = replace(
                node,
                inputs=tuple(now(ref) for ref in node.inputs),
                masks=tuple(mask and now(mask) for mask in node.masks),
                output_masks=tuple(mask and now(mask) for mask in node.output_masks),
            )
        key = _key(graph, node)
        if key is not None and key in first:
            same[node.name] = first[key]
        else:
            kept.append(node)
            if key is not None:
                first[key] = node.name
    if not same:
        return graph
    called = {node.layer for node in kept}
    return replace(
        graph,
        nodes=tuple(kept),
        outputs=tuple(now(ref) for ref in graph.outputs),
        layers={name: spec for name, spec in graph.layers.items() if name in called},
    )


def _key(graph: Graph, node: Node) -> str | None:
    """Returns what decides the result of a call, or None if it must not be merged."""
    spec = graph.layers[node.layer]
    if spec.is_input or {"random", "state", "loss"} & set(node.effects):
        return None
    if spec.weights or spec.graph is not None or not spec.own:
        layer: Any = graph.aliases.get(node.layer, node.layer)
    else:
        layer = [spec.class_name, spec.config]
    reads = [[ref.node, ref.index, ref.mask] for ref in node.inputs]
    masks = [mask and [mask.node, mask.index] for mask in node.masks]
    facts = [layer, describe(node.args), describe(node.kwargs), reads, masks]
    return text_of(facts)
