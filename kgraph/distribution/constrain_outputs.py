"""Marks what layers return with the axes of the mesh that it is to be spread along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from kgraph.graph.graph import Graph
from kgraph.graph.node import Node

if TYPE_CHECKING:
    from kgraph.distribution.base import Distribution


def constrain_outputs(distribution: Distribution) -> Callable[[Graph], Graph]:
    """Returns a pass that gives calls the layout which `path/output` of their layer has.

    Needs: inlined models, so that each layer has its path. Keeps: all else. No number changes, only
    where it is computed. A second run changes nothing.
    """

    def pass_(graph: Graph) -> Graph:
        def marked(node: Node) -> Node:
            layout = distribution.get_tensor_layout(f"{node.layer}/output")
            return node if layout is None else replace(node, layout=layout.axes)

        return replace(graph, nodes=tuple(map(marked, graph.nodes)))

    pass_.__name__ = "constrain_outputs"
    return pass_
