"""Replaces calls of functional models by the nodes inside them."""

from __future__ import annotations

from dataclasses import replace

from kgraph.compiler.inputs import arrange_inputs, has_sizes_of
from kgraph.graph.graph import Graph
from kgraph.graph.node import LayerSpec, Node, Ref
from kgraph.graph.structure import fill


def inline_models(graph: Graph) -> Graph:
    """Replaces each call of a functional model by its nodes, to any depth.

    Needs: nothing. Keeps: parameter paths (`encoder/conv2d` is the layer `conv2d` of `encoder`
    either way) and random keys (they come from the same paths). A call on masked tensors stays a
    call, since the model's own graph does not know of those masks; and so does one whose inputs get
    another dtype or rank there, or sizes that are not those of the data it has seen first. A second
    run changes nothing.
    """
    while any(_inlinable(graph, node) for node in graph.nodes):
        graph = _inline_once(graph)
    return graph


def _inlinable(graph: Graph, node: Node) -> bool:
    inner = graph.layers[node.layer].graph
    if graph.layers[node.layer].is_stack:
        return False
    if inner is None or len(node.args) != 1 or set(node.kwargs) - {"training"}:
        return False
    if len(node.inputs) != len(inner.inputs) or any(mask is not None for mask in node.masks):
        return False
    specs = [graph.spec(ref) for ref in _arguments(inner, node)]
    pairs = zip(map(inner.spec, inner.inputs), specs)
    alike = all(
        own.dtype == given.dtype and len(own.dims) == len(given.dims) for own, given in pairs
    )
    return alike and has_sizes_of(inner, specs)


def _arguments(inner: Graph, call: Node) -> list[Ref]:
    """Returns what a call feeds to the inputs of the graph inside, in their order."""
    return arrange_inputs(inner, fill(call.args[0], call.inputs))


def _inline_once(graph: Graph) -> Graph:
    nodes: list[Node] = []
    layers: dict[str, LayerSpec] = {}
    moved: dict[Ref, Ref | None] = {}
    aliases = dict(graph.aliases)
    for original in graph.nodes:
        node = _reread(original, moved)
        spec = graph.layers[node.layer]
        if not _inlinable(graph, original):  # `node` may already read what is not in `graph`
            nodes.append(node)
            layers.setdefault(node.layer, spec)
            continue
        inner = spec.graph
        assert inner is not None
        nodes += _moved_nodes(inner, node, moved)
        for name, inner_spec in inner.layers.items():
            if not inner_spec.is_input:
                layers.setdefault(f"{node.layer}/{name}", inner_spec)
    return replace(
        graph,
        nodes=tuple(nodes),
        layers=layers,
        outputs=tuple(moved.get(ref) or ref for ref in graph.outputs),
        aliases=aliases,
    )


def _moved_nodes(inner: Graph, call: Node, moved: dict[Ref, Ref | None]) -> list[Node]:
    """Returns the nodes of one call, and notes in `moved` what its outputs have become."""
    place: dict[Ref, Ref | None] = {}
    for ref, given in zip(inner.inputs, _arguments(inner, call)):
        place[ref] = given
    made: list[Node] = []
    for node in inner.nodes:
        if inner.layers[node.layer].is_input:
            continue
        name = f"{call.name}/{node.name}"
        for i in range(len(node.outputs)):
            for mask in (False, True):
                place[Ref(node.name, i, mask)] = Ref(name, i, mask)
        made.append(
            replace(
                _reread(node, place),
                name=name,
                layer=f"{call.layer}/{node.layer}",
                kwargs={**call.kwargs, **node.kwargs},
                output_masks=tuple(m and place.get(m, m) for m in node.output_masks),
            )
        )
    for i, ref in enumerate(inner.outputs):
        mask = inner.mask_of(ref)
        moved[Ref(call.name, i)] = place[ref]
        moved[Ref(call.name, i, mask=True)] = None if mask is None else place[mask]
    return made


def _reread(node: Node, moved: dict[Ref, Ref | None]) -> Node:
    """Returns the node with each reference replaced by what it has become."""

    def now(ref: Ref | None) -> Ref | None:
        return moved.get(ref, ref) if ref is not None else None

    inputs = tuple(now(ref) or ref for ref in node.inputs)
    return replace(
        node,
        inputs=inputs,
        masks=tuple(now(mask) for mask in node.masks),
        output_masks=tuple(now(mask) for mask in node.output_masks),
    )
