"""What of a model is computed again in the backward pass, where no pass for blocks decides."""

from __future__ import annotations

import math

from kgraph import activations
from kgraph.compiler.lower import LiveGraph, Remat
from kgraph.graph.graph import Graph
from kgraph.layers.base import Layer, RematScope
from kgraph.source import warn


def scoped_layers(live: LiveGraph) -> list[str] | None:
    """Returns the names of layers that were made in a scope which says so; None if none was."""
    found = []
    for name, layer in live.layers.items():
        scope: RematScope | None = layer._kgraph.remat
        wanted = scope is not None and _wants(scope, name, layer, live.graph)
        if wanted and not live.graph.layers[name].is_input:
            found.append(name)
    return found or None


def _wants(scope: RematScope, name: str, layer: Layer, graph: Graph) -> bool:
    if scope.mode == "list_of_layers":
        return name in scope.layer_names
    if scope.mode == "activations":
        return vars(layer).get("activation") not in (None, activations.linear)
    if scope.mode == "larger_than":
        outputs = [spec for node in graph.nodes if node.layer == name for spec in node.outputs]
        sizes = [math.prod(n for n in spec.dims[1:] if isinstance(n, int)) for spec in outputs]
        return any(size > scope.output_size_threshold for size in sizes)
    return scope.mode == "full"


def remat_of_layers(remat: Remat | None, label: str) -> Remat | None:
    """Returns what is computed again where no blocks can be stacked; warns if that is nothing.

    Args:
        remat: what is wanted.
        label: of the model.
    """
    if not isinstance(remat, str):
        return remat
    warn(
        f"remat={remat!r} has no effect: the blocks of {label} are laid out in "
        "different ways, so that one body cannot stand for all",
    )
    return None
