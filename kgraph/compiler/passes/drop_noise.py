"""Removes layers that do nothing outside of training."""

from __future__ import annotations

from dataclasses import replace

from kgraph.graph.graph import Graph
from kgraph.graph.node import Node, Ref


def drop_noise(graph: Graph) -> Graph:
    """Removes layers that say that they are idle at inference (`Traits`): dropout, noise, random
    changes of images, penalties, linear activations. What reads them reads their input.

    For inference alone: random draws and added losses are gone. Stays: a call that is in training
    always (`training=True`), changes the dtype, has several inputs, or ends a mask. Needs: nothing.
    Keeps: names of the nodes that stay, masks. A second run changes nothing.
    """
    moved: dict[Ref, Ref] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        node = replace(node, inputs=tuple(moved.get(ref, ref) for ref in node.inputs))
        if _is_idle(graph, node):
            moved[Ref(node.name)] = node.inputs[0]
        else:
            nodes.append(node)
    called = {node.layer for node in nodes}
    return replace(
        graph,
        nodes=tuple(nodes),
        layers={name: spec for name, spec in graph.layers.items() if name in called},
        outputs=tuple(moved.get(ref, ref) for ref in graph.outputs),
    )


def _is_idle(graph: Graph, node: Node) -> bool:
    idle = graph.layers[node.layer].traits.idle_at_inference
    if not idle or node.kwargs.get("training") or len(node.inputs) != 1:
        return False
    source = node.inputs[0]
    same = node.outputs == (graph.spec(source),)
    return same and node.output_masks == (graph.mask_of(source),)
