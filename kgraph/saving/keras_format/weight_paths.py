"""Where Keras' files keep each weight: by class and position inside containers, not by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from kgraph.layers.base import Layer
from kgraph.layers.base.stored import own_by_number
from kgraph.layers.base.tree import children
from kgraph.layers.base.variable import Variable
from kgraph.ops import Operation
from kgraph.optimizers import Optimizer
from kgraph.registry import snake_case
from kgraph.saving.keras_format.names import INNER_NAMES, RENAMED_ATTRIBUTES
from kgraph.saving.kgraph_format.own_state import keeps_own

LayerOrder: TypeAlias = dict[int, list[Layer]]
"""The layers of functional models, by the model's id, in the order by which Keras counts them."""


def weight_paths(model: Layer, order: Mapping[int, list[Layer]]) -> dict[str, Variable]:
    """Returns each weight by its path in `model.weights.h5`: `layers/dense_1/vars/0`."""
    return {f"{path}/vars/{i}".lstrip("/"): w for path, i, w in _walk(model, "", order, set())}


def layer_places(model: Layer, order: Mapping[int, list[Layer]]) -> list[tuple[str, Layer]]:
    """Returns each layer by its path: `layers/dense_1`."""
    found = _walk_all(model, "", order, set(), {})
    return [(place, item) for place, item in found if isinstance(item, Layer)]


def held_optimizers(model: Layer, order: Mapping[int, list[Layer]]) -> dict[str, Optimizer]:
    """Returns the optimizers that attributes hold, such as a GAN's second one, by their places."""
    found = _walk_all(model, "", order, set(), {})
    return {place: item for place, item in found if isinstance(item, Optimizer)}


def own_groups(model: Layer, order: Mapping[int, list[Layer]]) -> dict[str, Layer]:
    """Returns the layers that store their own weights, by the path of their group."""
    places = layer_places(model, order)
    return {f"{at}/vars".lstrip("/"): layer for at, layer in places if keeps_own(layer)}


def live_order(model: Layer) -> LayerOrder:
    """Returns the order in which a model's own graphs count their layers, to any depth."""
    found: LayerOrder = {}
    waiting = [model]
    while waiting:
        layer: Any = waiting.pop()
        if id(layer) not in found and layer._kgraph_inner_graph is not None:
            found[id(layer)] = [x for x in layer.layers if not isinstance(x, Operation)]
        waiting += [child for _, child in children(layer)]
    return found


def group_names(model: Layer, order: Mapping[int, list[Layer]]) -> dict[str, str]:
    """Returns the name of each layer by the path of its group, as Keras notes them."""
    found: dict[str, str] = {}
    _walk_all(model, "", order, set(), found)
    return found


def trained_in_order(model: Layer, order: Mapping[int, list[Layer]]) -> list[Variable]:
    """Returns the weights that training changes, in the order of Keras' optimizers."""
    trained = {id(weight) for weight in model.trainable_weights}
    found = {id(weight): weight for weight in _flat(model, order) if id(weight) in trained}
    return list(found.values())


def _flat(layer: Layer, order: Mapping[int, list[Layer]]) -> Iterator[Variable]:
    if id(layer) not in order:
        yield from layer.weights
        return
    core: Any = layer._kgraph
    first = [core.layers[name] for name in core.first]
    for child in dict.fromkeys([*first, *order[id(layer)]]):
        yield from _flat(child, order)


def _walk(
    layer: Layer, path: str, order: Mapping[int, list[Layer]], seen: set[int]
) -> Iterator[tuple[str, str, Variable]]:
    names: dict[str, str] = {}
    for place, item in _walk_all(layer, path, order, seen, names):
        if isinstance(item, Layer) and not keeps_own(item):
            for number, weight in own_by_number(item).items():
                yield place, number, weight


def _walk_all(
    layer: Layer,
    path: str,
    order: Mapping[int, list[Layer]],
    seen: set[int],
    names: dict[str, str],
) -> list[tuple[str, Layer | Optimizer]]:
    """Returns each layer once, under the first path on which Keras meets it, and what it holds."""
    if id(layer) in seen:
        return []
    seen.add(id(layer))
    names[f"{path}/vars".lstrip("/")] = layer.name
    found: list[tuple[str, Layer | Optimizer]] = [(path, layer)]
    for name, value in _attributes(layer, order):
        found += _walk_value(value, f"{path}/{name}".lstrip("/"), order, seen, names)
    return found


def _walk_value(
    value: Any,
    path: str,
    order: Mapping[int, list[Layer]],
    seen: set[int],
    names: dict[str, str],
) -> list[tuple[str, Layer | Optimizer]]:
    if isinstance(value, Layer):
        return _walk_all(value, path, order, seen, names)
    if isinstance(value, Optimizer):
        return [(path, value)]
    found: list[tuple[str, Layer | Optimizer]] = []
    used: dict[str, int] = {}
    items = value.values() if isinstance(value, dict) else value
    for item in items if isinstance(value, (list, tuple, dict)) else ():
        if isinstance(item, (Layer, Optimizer, list, tuple, dict)):
            base = _class_name(item) if isinstance(item, (Layer, Optimizer)) else "container"
            used[base] = used.get(base, -1) + 1
            name = f"{base}_{used[base]}" if used[base] else base
            found += _walk_value(item, f"{path}/{name}", order, seen, names)
    return found


def _attributes(layer: Layer, order: Mapping[int, list[Layer]]) -> Iterator[tuple[str, Any]]:
    """Yields what Keras looks into: a graph's layers first, then attributes by name."""
    if id(layer) in order:
        yield "layers", [x for x in order[id(layer)] if not isinstance(x, Operation)]
    named = {
        RENAMED_ATTRIBUTES.get((type(layer).__name__, name), name): value
        for name, value in vars(layer).items()
        if name not in layer._kgraph_unbound
    }
    for name in sorted(named, key=lambda n: f"~{n}" if n.startswith("_") else n):
        yield name, named[name]


def _class_name(layer: Layer | Optimizer) -> str:
    name = type(layer).__name__
    return snake_case(INNER_NAMES.get(name, name))
