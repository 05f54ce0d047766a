"""Tells which nodes of a graph do the same, whatever they are called and whatever they read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from kgraph.descriptions import text_of
from kgraph.graph.graph import Graph
from kgraph.graph.node import LayerSpec, Node, Ref
from kgraph.graph.structure import map_structure
from kgraph.registry import describe

LayerSignatures: TypeAlias = Mapping[str, str | None]
"""What a graph does not know of each layer: equal texts for layers that may be computed by one
body, None for a layer that may never be."""


def reads_of(node: Node) -> tuple[Ref | None, ...]:
    """Returns every reference of a node: inputs, their masks, masks passed on from elsewhere."""
    passed = (ref if ref is None or ref.node != node.name else None for ref in node.output_masks)
    return (*node.inputs, *node.masks, *passed)


class Signatures:
    """Texts that are equal for nodes which do the same.

    Args:
        graph: whose nodes they are.
        layers: what the graph does not know of its layers; without them only classes of kgraph's
            own are known to be decided by options and weights.
    """

    def __init__(self, graph: Graph, layers: LayerSignatures | None) -> None:
        self.graph, self.layers = graph, layers
        inner_aliases = [*graph.aliases, *graph.aliases.values()]
        self.entangled = {p for path in inner_aliases for p in _prefixes(path)}
        self.specs: dict[str, str | None] = {}
        self.uses = Counter(self._object(node.layer) for node in graph.nodes)

    def _object(self, layer: str) -> str:
        return self.graph.aliases.get(layer, layer)

    def of(self, node: Node) -> str | None:
        if node.layer not in self.specs:
            self.specs[node.layer] = self._layer(node.layer, self.graph.layers[node.layer])
        layer = self.specs[node.layer]
        if layer is None:
            return None
        own_masks = [m is not None and m.node == node.name for m in node.output_masks]
        nesting = map_structure(lambda _: 0, (node.args, node.kwargs, node.structure))
        parts = [
            layer, self.uses[self._object(node.layer)], describe(node.args),
            describe(node.kwargs), describe(node.structure), str(nesting), own_masks,
            sorted(node.effects), node.lowering, describe(node.layout),
            [[spec and [*spec.dims, spec.dtype]] for spec in (*node.outputs, *node.mask_specs)],
            [r and [str(self.graph.spec(r)), r.mask] for r in reads_of(node)],
        ]  # fmt: skip
        return text_of(parts)

    def _layer(self, name: str, spec: LayerSpec) -> str | None:
        if spec.is_input or spec.is_stack or spec.is_factors or name in self.entangled:
            return None
        known = ("" if spec.own else None) if self.layers is None else self.layers.get(name)
        if known is None:
            return None
        inner = None if spec.graph is None else spec.graph.content_hash
        weights = [[w.path, list(w.shape), w.dtype, w.trainable] for w in spec.weights]
        config = nameless(spec.config)
        parts = [known, spec.class_name, spec.own, config, weights, inner]
        return text_of(parts)


def nameless(config: Any) -> Any:
    """Returns a description of options without the names of layers in it, which decide nothing.

    Those inside a model stay, as its weights are found by them.
    """
    if isinstance(config, list):
        return [nameless(item) for item in config]
    if not isinstance(config, dict):
        return config
    inner = config.get("config")
    if config.get("kind") == "layer" and isinstance(inner, dict) and "nodes" not in inner:
        return {**config, "config": {k: nameless(v) for k, v in inner.items() if k != "name"}}
    return config if "nodes" in config else {k: nameless(v) for k, v in config.items()}


def has_seed(config: Any) -> bool:
    """Tells whether options, or those of a layer inside, hold a seed."""
    if isinstance(config, list):
        return any(map(has_seed, config))
    if not isinstance(config, dict):
        return False
    return config.get("seed") is not None or any(map(has_seed, config.values()))


def _prefixes(path: str) -> Iterator[str]:
    """Yields the paths of what holds a path."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
