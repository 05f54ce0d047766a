"""Marks single layers, the inner tensors of which are computed again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kgraph.compiler.repeats import Inner, Origin, Repeats, Shared
from kgraph.compiler.signatures import reads_of
from kgraph.compiler.stacking import Stacking
from kgraph.errors import GraphError, nearest
from kgraph.graph.graph import Graph
from kgraph.graph.node import Node, Ref


def remat_layers(policies: Mapping[str, str]) -> Callable[[Graph], Graph]:
    """Returns a pass after which only what goes into and out of some layers is kept.

    A layer may be a nested model, all of which is then computed again.

    Needs: nodes in topological order. Keeps: parameter paths, random keys, state, masks, losses. A
    second run changes nothing.

    Args:
        policies: for each layer, by its name in the model ("encoder", or "encoder/dense"), the name
            of a policy of `jax.checkpoint`; "nothing_saveable" computes everything again.
    """

    def pass_(graph: Graph) -> Graph:
        for layer, policy in policies.items():
            for name, members in _calls(graph, layer).items():
                nodes = tuple(graph.by_name[member] for member in members)
                repeats = Repeats((nodes,), _layers(nodes), _origins(nodes))
                graph = Stacking(graph, repeats, policy, f"{name}/remat").graph()
        return graph

    pass_.__name__ = "remat_layers"
    return pass_


def _calls(graph: Graph, layer: str) -> dict[str, list[str]]:
    """Returns the names of the nodes of each call of a layer or nested model, by that of the call.

    Raises:
        GraphError: there is no such layer, or it is computed again already.
    """
    found: dict[str, list[str]] = {}
    for node in graph.nodes:
        spec = graph.layers[node.layer]
        if spec.is_input or spec.is_stack:
            continue
        if node.layer == layer:
            found[node.name] = [node.name]
        elif node.layer.startswith(f"{layer}/"):
            call = "/".join(node.name.split("/")[: layer.count("/") + 1])
            found.setdefault(call, []).append(node.name)
    if not found and not _is_wrapped(graph, layer):
        layers = [name for name, spec in graph.layers.items() if not spec.is_input]
        names = dict.fromkeys([*(name.split("/")[0] for name in layers), *layers])
        raise GraphError(
            f"remat names a layer {layer!r} that the model does not have",
            expected="a name of a layer, or of a nested model; model.summary() shows them",
            hint=nearest(layer, list(names)),
        )
    return found


def _is_wrapped(graph: Graph, layer: str) -> bool:
    bodies = [spec.graph for spec in graph.layers.values() if spec.is_stack]
    names = [name for body in bodies if body is not None for name in body.layers]
    return any(name == layer or name.startswith(f"{layer}/") for name in names)


def _layers(nodes: Sequence[Node]) -> dict[str, tuple[str, ...]]:
    return {node.layer: (node.layer,) for node in nodes}


def _origins(nodes: Sequence[Node]) -> tuple[tuple[Origin, ...], ...]:
    place = {node.name: i for i, node in enumerate(nodes)}

    def origin(ref: Ref | None) -> Origin:
        if ref is None:
            return None
        inside = place.get(ref.node)
        return Shared(ref) if inside is None else Inner(inside, ref.index, ref.mask)

    return tuple(tuple(map(origin, reads_of(node))) for node in nodes)
