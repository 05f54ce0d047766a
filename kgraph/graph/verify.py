"""Checks that a graph is whole: run after freezing and after every pass."""

from __future__ import annotations

from kgraph.errors import GraphError
from kgraph.graph.graph import Graph
from kgraph.graph.node import Node, Ref
from kgraph.graph.structure import slots


def verify(graph: Graph) -> None:
    """Raises GraphError unless the graph is well formed.

    Checked: names are unique; each node names a known layer; every reference leads to an earlier
    node (so there is no cycle) and to an output or mask it has; slots, masks and specs have
    matching numbers; inputs are input nodes, once each; each input node is an input of the graph;
    the body of repeated blocks is itself well formed.
    """
    seen: dict[str, Node] = {}
    names = {node.name for node in graph.nodes}
    for node in graph.nodes:
        if node.name in seen:
            raise _fault(f"{node.name!r} names two nodes", node)
        if node.layer not in graph.layers:
            raise _fault(f"{node.name!r} calls a layer {node.layer!r} that is not there", node)
        for ref in node.reads:
            if ref.node not in seen:
                why = "comes later (a cycle?)" if ref.node in names else "is not in the graph"
                raise _fault(f"{node.name!r} reads {str(ref)!r}, which {why}", node)
            _check_ref(ref, seen[ref.node], node)
        _check_counts(node)
        spec = graph.layers[node.layer]
        if spec.is_stack and spec.graph is not None:
            verify(spec.graph)
        seen[node.name] = node
        for ref in node.output_masks:
            if ref is not None and ref.node not in seen:
                raise _fault(f"the mask of {node.name!r} is not in the graph: {ref}", node)
            if ref is not None:
                _check_ref(ref, seen[ref.node], node)
    for ref in graph.outputs:
        if ref.node not in seen:
            raise GraphError(f"The output {str(ref)!r} is not in the graph")
        _check_ref(ref, seen[ref.node], None)
    _check_inputs(graph, seen)


def _check_ref(ref: Ref, maker: Node, reader: Node | None) -> None:
    specs = maker.mask_specs if ref.mask else maker.outputs
    if not 0 <= ref.index < len(specs) or specs[ref.index] is None:
        raise _fault(f"{maker.name!r} has no output {str(ref)!r}", reader or maker)


def _check_counts(node: Node) -> None:
    expected = list(range(len(node.inputs)))
    if sorted(slots([node.args, node.kwargs])) != expected:
        raise _fault(f"the arguments of {node.name!r} do not use its {len(expected)} inputs", node)
    if sorted(slots([node.structure])) != list(range(len(node.outputs))):
        raise _fault(f"the structure of {node.name!r} does not match its outputs", node)
    if len(node.masks) != len(node.inputs):
        raise _fault(f"{node.name!r} has {len(node.masks)} masks for its inputs", node)
    if {len(node.output_masks), len(node.mask_specs)} - {len(node.outputs)}:
        raise _fault(f"{node.name!r} does not say for each output where its mask is", node)


def _check_inputs(graph: Graph, seen: dict[str, Node]) -> None:
    fed = [ref.node for ref in graph.inputs]
    if len(set(fed)) != len(fed):
        raise GraphError("An input is listed twice", received=", ".join(fed))
    entries = [n for n in graph.nodes if graph.layers[n.layer].is_input]
    for node in entries:
        if node.name not in fed:
            raise _fault(f"the input {node.name!r} is read but not fed", node)
    for name in fed:
        if name not in seen or seen[name] not in entries:
            raise GraphError(f"The input {name!r} is not an input node")


def _fault(what: str, node: Node) -> GraphError:
    return GraphError(f"The graph is broken: {what}", at=node.source)
