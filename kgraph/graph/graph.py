"""The graph: named nodes in topological order, as immutable data to compare and hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kgraph.descriptions import text_of, written
from kgraph.graph.node import LayerSpec, Node, Ref, TensorSpec
from kgraph.graph.structure import single
from kgraph.registry import describe


@dataclass(frozen=True, eq=False)
class Graph:
    """A model as data.

    Fields:
        inputs, outputs: references in the order of their structures.
        nodes: in topological order (Keras' order of layers: by distance from the outputs).
        layers: description of each layer by name, in the order of the nodes.
        input_structure, output_structure: nesting, with slots.
        aliases: for a layer object that can be reached by several paths, its other paths and the
            first one. Shared weights are shared by this.

    Graphs are equal if they compute the same: the user's source lines do not count.
    """

    inputs: tuple[Ref, ...]
    outputs: tuple[Ref, ...]
    nodes: tuple[Node, ...]
    layers: Mapping[str, LayerSpec]
    input_structure: Any
    output_structure: Any
    aliases: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """The nodes by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def input_names(self) -> tuple[str, ...]:
        """Name of each input: the key under which its data is fed."""
        return tuple(self.by_name[ref.node].layer for ref in self.inputs)

    @cached_property
    def output_names(self) -> tuple[str, ...]:
        """Name of each output: the layer that makes it, numbered where one layer makes several."""
        names: list[str] = []
        for ref in self.outputs:
            base = self.by_name[ref.node].layer
            name, n = base, 0
            while name in names:
                n += 1
                name = f"{base}_{n}"
            names.append(name)
        return tuple(names)

    @property
    def result_structure(self) -> Any:
        """The nesting of what a call on arrays returns: one output leaves its list, as in Keras."""
        return single(self.output_structure)

    def spec(self, ref: Ref) -> TensorSpec:
        """Returns the spec of the tensor (or mask) that a reference names."""
        node = self.by_name[ref.node]
        if not ref.mask:
            return node.outputs[ref.index]
        spec = node.mask_specs[ref.index]
        assert spec is not None, f"{ref} is read but {ref.node} makes no mask"
        return spec

    def mask_of(self, ref: Ref) -> Ref | None:
        """Returns the reference of the mask that goes with a tensor, or None."""
        masks = self.by_name[ref.node].output_masks
        return masks[ref.index] if masks else None

    @property
    def calls(self) -> Iterator[Node]:
        """The nodes that are not inputs."""
        return (n for n in self.nodes if not self.layers[n.layer].is_input)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 (hex) of everything that counts for equality. Equal in every process."""
        return hashlib.sha256(text_of(plain(self)).encode()).hexdigest()

    @property
    def stored_hash(self) -> str:
        """As `content_hash`, but with the names of functions for what a file cannot tell apart."""
        return hashlib.sha256(text_of(written(plain(self))).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.content_hash == other.content_hash

    def __hash__(self) -> int:
        return hash(self.content_hash)

    def __str__(self) -> str:
        return "\n".join(line for node in self.nodes for line in _lines(self, node))


def plain(graph: Graph) -> dict[str, Any]:
    """Returns the graph as JSON types (and `Opaque` where an option cannot be written)."""
    return {
        "inputs": [_plain_ref(ref) for ref in graph.inputs],
        "outputs": [_plain_ref(ref) for ref in graph.outputs],
        "input_structure": describe(graph.input_structure),
        "output_structure": describe(graph.output_structure),
        "aliases": dict(graph.aliases),
        "layers": {name: _plain_layer(spec) for name, spec in graph.layers.items()},
        "nodes": [_plain_node(node) for node in graph.nodes],
    }


def _plain_ref(ref: Ref | None) -> Any:
    return None if ref is None else [ref.node, ref.index, *(["mask"] if ref.mask else [])]


def _plain_spec(spec: TensorSpec | None) -> Any:
    return None if spec is None else [list(spec.dims), spec.dtype]


def _plain_layer(spec: LayerSpec) -> dict[str, Any]:
    return {
        "class_name": spec.class_name,
        "config": spec.config,
        "weights": [[w.path, list(w.shape), w.dtype, w.trainable] for w in spec.weights],
        "graph": None if spec.graph is None else plain(spec.graph),
        "own": spec.own,
    }


def _plain_node(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "layer": node.layer,
        "args": describe(node.args),
        "kwargs": describe(node.kwargs),
        "inputs": [_plain_ref(ref) for ref in node.inputs],
        "masks": [_plain_ref(ref) for ref in node.masks],
        "structure": describe(node.structure),
        "outputs": [_plain_spec(spec) for spec in node.outputs],
        "output_masks": [_plain_ref(ref) for ref in node.output_masks],
        "mask_specs": [_plain_spec(spec) for spec in node.mask_specs],
        "effects": list(node.effects),
        **({"lowering": node.lowering} if node.lowering else {}),
        **({"layout": describe(node.layout)} if node.layout else {}),
    }


def _lines(graph: Graph, node: Node) -> Iterator[str]:
    """Yields the line of a node; after that of repeated blocks, what one block does, indented."""
    yield show_node(graph, node)
    spec = graph.layers[node.layer]
    if spec.is_stack:
        yield from (f"    {line}" for line in str(spec.graph).split("\n"))


def show_node(graph: Graph, node: Node) -> str:
    """Returns one line: `dense: [batch, 64] float32 = Dense(flatten)`."""
    spec = graph.layers[node.layer]
    made = ", ".join(str(output) for output in node.outputs)
    reads = ", ".join(ref.node if not ref.index else str(ref) for ref in node.inputs)
    masks = [str(mask) for mask in node.masks if mask is not None]
    masked = f"; masked by {', '.join(dict.fromkeys(masks))}" if masks else ""
    what = _blocks(spec.config["count"]) if spec.is_stack else spec.title
    lowering = f"; {node.lowering}" if node.lowering else ""
    layout = f"; spread along {node.layout}" if node.layout else ""
    return f"{node.name}: {made} = {what}({reads}{masked}){lowering}{layout}"


def _blocks(count: int) -> str:
    return f"{count} blocks" if count > 1 else "recomputed"
