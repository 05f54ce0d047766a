"""The rows of a summary, as data: one for each layer, with the layers of nested models below."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kgraph.compiler.lower import is_model
from kgraph.errors import ConfigError
from kgraph.graph import Graph, Node, TensorSpec
from kgraph.graph.node import INPUT_CLASS
from kgraph.layers.base.tree import children

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer
    from kgraph.models.model import Model


@dataclass(frozen=True, slots=True)
class Row:
    """What a summary says of one layer.

    Fields:
        name: the layer's name in its graph.
        type: its class; `Functional` for every functional model.
        outputs: for each call of the layer in this graph the specs of its outputs; of a layer of a
            subclassed model those of its last call; empty where that was not called yet.
        params: number of scalars in its weights; None before it is built.
        connected_to: what its calls read, as `layer[call][output]`.
        trainable: whether training changes its weights; None if it has none.
        mask: what its calls do with masks, or None.
        level: depth of nesting; 0 for the model's own layers.
        path: the names from the model down to the layer.
    """

    name: str
    type: str
    outputs: tuple[tuple[TensorSpec, ...], ...]
    params: int | None
    connected_to: tuple[str, ...] = ()
    trainable: bool | None = None
    mask: str | None = None
    level: int = 0
    path: tuple[str, ...] = ()


def summary_rows(
    model: Model, expand_nested: bool = False, layer_range: Sequence[str] | None = None
) -> list[Row]:
    """Returns the rows of a model's summary, in the order of its graph.

    Args:
        model: a model.
        expand_nested: whether the layers of nested models follow their model.
        layer_range: two regular expressions that match from the start of names: rows from the first
            layer that matches the first of them to the last that matches the second.

    Raises:
        ConfigError: `layer_range` is not two texts, or one matches nothing.
    """
    rows: list[Row] = []
    entries = list(_entries(model, 0, model.trainable))
    stack = [iter(_in_range(entries, layer_range))]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        row, layer = entry
        rows.append(row)
        if expand_nested and is_container(layer):
            stack.append(_entries(layer, row.level + 1, row.trainable is not False, row.path))
    return rows


def class_name(layer: Layer) -> str:
    """Returns the class as Keras prints it."""
    if layer._kgraph_inner_graph is not None and not is_sequential(layer):
        return "Functional"
    return type(layer).__name__


def is_sequential(layer: Layer) -> bool:
    """Tells whether a layer is a Sequential model. (By its hook: models are above this part.)"""
    return getattr(layer, "_kgraph_is_sequential", False)


def is_container(layer: Layer) -> bool:
    """Tells whether a layer is a model: something with layers to list."""
    return layer._kgraph_inner_graph is not None or bool(_listed(layer))


def is_branching(model: Model) -> bool:
    """Tells whether a model's graph is more than a chain of calls of different layers."""
    graph: Graph | None = model._kgraph_inner_graph
    if graph is None or is_sequential(model):
        return False
    readers = Counter(ref.node for node in graph.nodes for ref in node.inputs)
    return (
        len(graph.inputs) > 1
        or len(graph.layers) < len(graph.nodes)
        or any(len(node.inputs) > 1 for node in graph.nodes)
        or any(count > 1 for count in readers.values())
    )


def mask_note(nodes: Sequence[Node]) -> str | None:
    """Returns what the calls of a layer do with masks, or None if none is near."""
    return "; ".join(dict.fromkeys(note for note in map(_mask_note, nodes) if note)) or None


def _mask_note(node: Node) -> str | None:
    reads = any(mask is not None for mask in node.masks)
    gives = any(mask is not None for mask in node.output_masks)
    if "stops mask" in node.effects:
        return "mask ends here"
    if gives:
        return "masked" if reads else "mask starts here"
    return "uses mask" if reads else None


def _listed(layer: Layer) -> list[Any]:
    found = getattr(layer, "layers", None)
    if not isinstance(found, (list, tuple)):
        return []
    return [item for item in found if hasattr(item, "_kgraph_inner_graph")]


def _entries(
    model: Model, level: int, trained: bool, path: tuple[str, ...] = ()
) -> Iterator[tuple[Row, Any]]:
    graph: Graph | None = model._kgraph_inner_graph
    if graph is None:
        if is_model(model):
            _ = model._kgraph.programs.live  # a call of the model is traced: shapes are known
        in_order = [(layer.name, layer) for layer in _listed(model)]
        listed = in_order if is_sequential(model) else children(model)
        for name, layer in listed:
            yield _row((*path, name), layer, level, trained), layer
        return
    calls: dict[str, list[Node]] = {name: [] for name in graph.layers}
    for node in graph.nodes:
        calls[node.layer].append(node)
    hides_input = is_sequential(model)
    for name, nodes in calls.items():
        if hides_input and graph.layers[name].class_name == INPUT_CLASS:
            continue
        layer = model._kgraph.layers[name]
        yield _row((*path, name), layer, level, trained, nodes, graph), layer


def _row(
    path: tuple[str, ...],
    layer: Layer,
    level: int,
    trained: bool,
    nodes: Sequence[Node] = (),
    graph: Graph | None = None,
) -> Row:
    weights = layer.weights
    return Row(
        name=path[-1],
        type=class_name(layer),
        outputs=tuple(node.outputs for node in nodes) or _described(layer),
        params=sum(w.size for w in weights) if layer.built or weights else None,
        connected_to=tuple(_connections(graph, nodes)) if graph is not None else (),
        trainable=trained and layer.trainable if weights else None,
        mask=mask_note(nodes),
        level=level,
        path=path,
    )


def _described(layer: Layer) -> tuple[tuple[TensorSpec, ...], ...]:
    """Returns what a layer inside of a call has returned when shapes were inferred last."""
    found = layer._kgraph.described
    return (found,) if found else ()


def _connections(graph: Graph, nodes: Sequence[Node]) -> Iterator[str]:
    for node in nodes:
        for ref in node.inputs:
            maker = graph.by_name[ref.node]
            yield f"{maker.layer}[{maker.call_index}][{ref.index}]"


def _in_range(
    entries: list[tuple[Row, Any]], layer_range: Sequence[str] | None
) -> list[tuple[Row, Any]]:
    if layer_range is None:
        return entries
    ends = list(layer_range) if isinstance(layer_range, (list, tuple)) else []
    if len(ends) != 2 or not all(isinstance(end, str) for end in ends):
        raise ConfigError(
            "summary takes `layer_range` as two texts",
            expected="[first, last], names or regular expressions",
            received=repr(layer_range),
        )
    first, last = ([i for i, e in enumerate(entries) if _matches(p, e[0].name)] for p in ends)
    for pattern, found in zip(ends, (first, last)):
        if not found:
            raise ConfigError(
                f"summary finds no layer that matches {pattern!r}",
                expected=", ".join(row.name for row, _ in entries[:12]),
                received=f"layer_range={ends!r}",
            )
    if min(first) > max(last):
        first, last = last, first
    return entries[min(first) : max(last) + 1]


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.match(pattern, name) is not None
    except re.error as error:
        raise ConfigError(
            f"summary cannot read the regular expression {pattern!r}: {error}",
            received=f"layer_range with {pattern!r}",
        ) from None
