"""Marks what layers return with the axes of the mesh that it is to be spread along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from kgraph.distribution.layout import Axes, names_of
from kgraph.graph.graph import Graph
from kgraph.graph.node import Node

if TYPE_CHECKING:
    from kgraph.distribution.base import Distribution


def ruled_output(distribution: Distribution, layer: str) -> str:
    """Returns the path of what a layer returns, in the form for which there is a rule.

    Args:
        distribution: the rules.
        layer: its path in the graph; in Keras that of a layer in a nested model is its name.
    """
    return distribution.ruled_path(f"{layer}/output", f"{layer.rpartition('/')[2]}/output")


def constrain_outputs(
    distribution: Distribution, pins_batch: bool = False
) -> Callable[[Graph], Graph]:
    """Returns a pass that gives calls the layout which `path/output` of their layer has.

    The kernel that a loss in pieces reads is brought together once, along the axes of the batch.

    Needs: inlined models, so that each layer has its path. Keeps: all else. No number changes, only
    where it is computed. A second run changes nothing.

    Args:
        distribution: the rules.
        pins_batch: whether all other outputs that have the rows of the batch stay spread along
            them. Where a weight is cut along the same axis, XLA could as well move the activations
            in the place of the weight, and in loops over blocks it does.
    """
    pinned = (distribution.batch_dim_name, ...)

    def pass_(graph: Graph) -> Graph:
        rows = {graph.spec(ref).dims[0] for ref in graph.inputs if graph.spec(ref).dims}

        def marked(node: Node) -> Node:
            if graph.layers[node.layer].is_factors:
                return replace(node, layout=_kernel_axes(distribution, graph, node))
            layout = distribution.get_tensor_layout(ruled_output(distribution, node.layer))
            if layout is not None:
                return replace(node, layout=layout.axes)
            if pins_batch and all(spec.dims and spec.dims[0] in rows for spec in node.outputs):
                return replace(node, layout=pinned)
            return node

        return replace(graph, nodes=tuple(map(marked, graph.nodes)))

    pass_.__name__ = "constrain_outputs"
    return pass_


def _kernel_axes(distribution: Distribution, graph: Graph, node: Node) -> Axes:
    """Returns along which axes a kernel among factors stays cut: not along those of the batch."""
    said = graph.layers[node.layer].config
    turn = -1 if said["transposed"] else 1
    shape = [int(size) for size in node.outputs[1].dims][::turn]
    axes = distribution.axes_of(distribution.ruled_path(f"{said['layer']}/{said['kernel']}"), shape)
    batch = names_of([distribution.batch_dim_name])
    kept = [tuple(name for name in names_of([axis]) if name not in batch) for axis in axes]
    return tuple(axis or None for axis in (*kept, *[()] * (len(shape) - len(axes))))[::turn]
