"""Functional models as plain data (JSON types), and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kgraph.custom_objects import custom_object_scope
from kgraph.errors import GraphError
from kgraph.graph.dims import fresh_dim, rename_dims, unnamed_dims
from kgraph.graph.graph import Graph
from kgraph.graph.node import INPUT_CLASS
from kgraph.graph.structure import Slot, fill, leaves
from kgraph.graph.symbol import SymbolicTensor
from kgraph.layers.base import InputLayer, Layer
from kgraph.registry import describe, restore
from kgraph.types import CustomObjects, DataLike, Tree

FORMAT = 1
"""Number of the layout below; a change that old readers would misread raises it."""


def graph_to_config(graph: Graph, layers: Mapping[str, Layer]) -> dict[str, Any]:
    """Returns a graph and its layers as plain data.

    `layers` maps each name to kind, class and options; `nodes` lists the calls, with `[node,
    index]` in the place of tensors. A layer object that occurs twice is written once; `aliases`
    names the other places.
    """
    return {
        "format": FORMAT,
        "input_names": list(graph.input_names),
        "inputs": _structure(graph.input_structure, graph.inputs),
        "outputs": _structure(graph.output_structure, graph.outputs),
        "layers": {name: _described(graph, name, layer) for name, layer in layers.items()},
        "aliases": dict(graph.aliases),
        "nodes": [
            {
                "name": node.name,
                "layer": node.layer,
                "args": describe(node.args),
                "kwargs": describe(node.kwargs),
                "inputs": [[ref.node, ref.index] for ref in node.inputs],
            }
            for node in graph.nodes
            if graph.layers[node.layer].class_name != INPUT_CLASS
        ],
    }


def _described(graph: Graph, name: str, layer: Layer) -> Any:
    data = describe(layer)
    if isinstance(layer, InputLayer):  # sizes by their names in this graph: inputs may share some
        data["config"]["dims"] = list(graph.layers[name].config["dims"])
    return data


def _structure(template: Tree, refs: Any) -> Any:
    tensors = [_Tensor(ref.node, ref.index) for ref in refs]
    return describe(_with_tuples(fill(template, tensors)))


def _with_tuples(tree: Any) -> Any:
    """Returns a structure that describes its tuples as such: JSON has lists alone."""
    if isinstance(tree, tuple):
        return _Tuple([_with_tuples(item) for item in tree])
    if isinstance(tree, list):
        return [_with_tuples(item) for item in tree]
    if isinstance(tree, dict):
        return {key: _with_tuples(item) for key, item in tree.items()}
    return tree


class _Tuple:
    """A tuple that describes itself."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def plain_data(self) -> dict[str, Any]:
        return {"tuple": True, "items": describe(self.items)}


class _Tensor:
    """A reference that describes itself."""

    def __init__(self, node: str, index: int) -> None:
        self.node, self.index = node, index

    def plain_data(self) -> dict[str, Any]:
        return {"tensor": [self.node, self.index]}


def graph_from_config(
    config: Mapping[str, Any], custom_objects: CustomObjects | None = None
) -> tuple[Any, Any]:
    """Returns the symbolic inputs and outputs that a config describes, layers made anew.

    Raises:
        GraphError: the config refers to something that it does not contain.
        ConfigError: a class is unknown, or an option has a value it cannot have.
    """
    if config.get("format") != FORMAT:
        raise GraphError(
            "This config has a layout that this version does not read",
            expected=f"format {FORMAT}",
            received=config.get("format"),
        )
    with custom_object_scope(custom_objects):
        layers = {name: _layer(name, data) for name, data in _renewed(config["layers"]).items()}
    _share(layers, config.get("aliases", {}))
    made: dict[str, list[Any]] = {
        name: [layer.make_symbol()]
        for name, layer in layers.items()
        if isinstance(layer, InputLayer)
    }
    for node in config["nodes"]:
        if node["layer"] not in layers:
            raise GraphError(f"The config calls a layer {node['layer']!r} that it does not contain")
        tensors = [_tensor(made, ref) for ref in node["inputs"]]
        args, kwargs = fill(_slots([node["args"], node["kwargs"]]), tensors)
        result = layers[node["layer"]](*args, **kwargs)
        made[node["name"]] = [s for s in leaves(result) if isinstance(s, SymbolicTensor)]

    def symbols(data: Any) -> Any:
        if isinstance(data, dict) and set(data) == {"tensor"} and _is_ref(data["tensor"]):
            return _tensor(made, data["tensor"])
        if isinstance(data, dict) and data.get("tuple") is True:  # no tensor of a user's dict
            return tuple(symbols(item) for item in data["items"])
        if isinstance(data, dict):
            return {key: symbols(item) for key, item in data.items()}
        return [symbols(item) for item in data]

    return symbols(config["inputs"]), symbols(config["outputs"])


def _renewed(layers: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the descriptions with new names for the sizes of inputs that nobody named."""
    made: dict[str, Any] = dict(layers)
    names: dict[str, str] = {}
    for name, data in layers.items():
        dims = data["config"].get("dims") if data["class_name"] == INPUT_CLASS else None
        if dims is not None:
            names |= {n: fresh_dim() for n in unnamed_dims(dims) if n not in names}
            renamed = list(rename_dims(tuple(dims), names))
            made[name] = {**data, "config": {**data["config"], "dims": renamed}}
    return made


def _layer(name: str, data: Mapping[str, Any]) -> Layer:
    """Returns a new layer under the name that the config gives it.

    Such a name counts as given by a graph, not by the user: another model may call it otherwise.
    """
    layer = restore(data)
    if not isinstance(layer, Layer):
        raise GraphError(f"{name!r} in the config is no layer", received=type(layer).__name__)
    layer._kgraph.rename(name)
    return layer


def _share(layers: dict[str, Any], aliases: Mapping[str, str]) -> None:
    """Makes the paths of a shared layer lead to one object again."""
    for path, first in aliases.items():
        owner, attribute = _place(layers, path)
        target, name = _place(layers, first)
        for end, found in ((path, owner[attribute]), (first, target[name])):
            if not isinstance(found, Layer):
                raise GraphError(
                    f"The config shares {end!r}, which is no layer",
                    expected="paths of layers",
                    received=type(found).__name__,
                )
        owner[attribute] = target[name]


def _place(layers: dict[str, Any], path: str) -> tuple[Any, Any]:
    """Returns the container and key under which a layer path is kept."""
    container: Any = layers
    parts = path.split("/")
    for i, part in enumerate(parts):
        key: Any = int(part) if isinstance(container, list) and part.isdigit() else part
        known = container if isinstance(container, (dict, list)) else None
        if known is None or (isinstance(known, dict) and key not in known):
            raise GraphError(f"The config shares a layer {path!r} that it does not contain")
        if i == len(parts) - 1:
            return container, key
        item = container[key]
        container = _inside(item) if isinstance(item, Layer) else item
    raise GraphError(f"The config shares a layer without a path: {path!r}")


def _inside(layer: Layer) -> Any:
    """Returns where the layers inside a layer are kept, by the first part of their paths."""
    named: dict[str, Layer] = getattr(layer._kgraph, "layers", {})
    return named or vars(layer)


def _is_ref(data: DataLike) -> bool:
    """Tells a reference from what a user keeps under the key "tensor" of a dict of inputs."""
    return isinstance(data, list) and len(data) == 2 and isinstance(data[0], str)


def _tensor(made: Mapping[str, list[Any]], ref: Any) -> Any:
    name, index = ref
    if name not in made or not 0 <= index < len(made[name]):
        raise GraphError(
            f"The config reads {name}[{index}], which no earlier node of it makes",
            expected=", ".join(list(made)[:20]),
        )
    return made[name][index]


def _slots(data: Any) -> Any:
    """Returns plain arguments with slots and constants restored."""
    if isinstance(data, dict) and set(data) == {"slot"} and isinstance(data["slot"], int):
        return Slot(data["slot"])
    if isinstance(data, list):
        return [_slots(item) for item in data]
    if isinstance(data, dict) and set(data) & {"kind", "array", "slice", "ellipsis", "float"}:
        return restore(data)
    if isinstance(data, dict):
        return {key: _slots(item) for key, item in data.items()}
    return data


__all__ = ["FORMAT", "graph_from_config", "graph_to_config"]
