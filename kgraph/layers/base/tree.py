"""A layer and what is inside it: the layers, to any depth, and their weights under their paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kgraph.declared import is_own
from kgraph.errors import ConfigError
from kgraph.layers.base.variable import Variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kgraph.layers.base.layer import Layer
    from kgraph.layers.base.weighted import Weighted


_PLAIN = frozenset({type(None), bool, int, float, str})
"""What most attributes are: a search through all layers of a graph passes these by."""
_LONGEST = 1000
"""The longest path that is searched: no weight of a file has a longer one."""


class Held:
    """Base of what layers hold and update, whose variables are state of theirs, and no weights."""

    @property
    def variables(self) -> Sequence[Variable]:
        """The state."""
        return ()


def members(layer: Weighted, kind: type) -> Iterator[tuple[str, Any]]:
    """Yields the path and the object for each `kind` found in a layer's attributes.

    Lists, tuples and dicts are searched; the path of an item is `attribute/0` or `attribute/key`.
    """
    found: list[tuple[str, Any]] = []
    unbound, searched = layer._kgraph_unbound, (kind, list, tuple, dict)
    for name, value in vars(layer).items():
        if type(value) not in _PLAIN and isinstance(value, searched) and name not in unbound:
            _search(value, name, kind, found)
    return iter(found)


def _search(value: object, path: str, kind: type, found: list[tuple[str, Any]]) -> None:
    if isinstance(value, kind):
        found.append((path, value))
    elif len(path) > _LONGEST:
        raise ConfigError(
            f"The attribute {path.partition('/')[0]!r} is nested too deeply",
            hint="does a list or dict hold itself?",
        )
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _search(item, f"{path}/{i}", kind, found)
    elif isinstance(value, dict):
        for key, item in value.items():
            _search(item, f"{path}/{key}", kind, found)


def children(layer: Weighted) -> Iterator[tuple[str, Any]]:
    """Yields path and layer for each layer directly inside this one."""
    return layer._kgraph_children()


def parts_of(layer: Weighted) -> Iterator[Any]:
    """Yields a layer and those inside it, at any depth."""
    yield layer
    for _, child in layer._kgraph_children():
        yield from parts_of(child)


def named_weights(layer: Weighted) -> Iterator[tuple[str, Variable]]:
    """Yields path and weight, each once: own trained ones, own state, layers inside."""
    seen: set[int] = set()
    for path, weight, _ in walk_weights(layer):
        if id(weight) not in seen:
            seen.add(id(weight))
            yield path, weight


def has_weights(layer: Weighted) -> bool:
    """Tells whether a layer, or one inside it, has any weight."""
    return next(named_weights(layer), None) is not None


def walk_weights(
    layer: Weighted, prefix: str = "", trained: bool = True
) -> Iterator[tuple[str, Variable, bool]]:
    """Yields path, weight and whether training changes it, for each place that has a weight."""
    trained = trained and layer._kgraph.trainable
    yield from walk_own_weights(layer, prefix, trained)
    for name, child in layer._kgraph_children():
        yield from walk_weights(child, f"{prefix}{name}/", trained)


def walk_own_weights(
    layer: Weighted, prefix: str = "", trained: bool = True
) -> Iterator[tuple[str, Variable, bool]]:
    """Yields the same of the weights that are not those of layers inside."""
    trained = trained and layer._kgraph.trainable
    taken: dict[str, int] = {}
    for weight in sorted(own_weights(layer), key=lambda w: not w.trainable):
        name, number = weight.name, taken.get(weight.name, 0)
        taken[name] = number + 1  # variables of two optimizers, say, that an attribute holds
        path = f"{prefix}{name}_{number}" if number else f"{prefix}{name}"
        yield path, weight, trained and weight.trainable


def own_weights(layer: Weighted) -> Sequence[Variable]:
    """Returns the weights that a layer has declared itself, or holds as attributes."""
    core = layer._kgraph
    if core.open and core.context is None:
        _adopt_new_variables(layer)
    elif not core.settled:
        _adopt_variables(layer)
    return core.weights


def walk_held(layer: Weighted, prefix: str = "") -> Iterator[tuple[str, Variable]]:
    """Yields path and variable of what layers hold besides weights: of metrics they update."""
    for part, path in _with_paths(layer, prefix):
        if not is_own(type(part)):  # kgraph's own layers hold none
            for name, held in members(part, Held):
                for number, variable in enumerate(held.variables):
                    yield f"{path}{name}/{number}", variable


def _with_paths(layer: Weighted, prefix: str) -> Iterator[tuple[Weighted, str]]:
    yield layer, prefix
    for name, child in layer._kgraph_children():
        yield from _with_paths(child, f"{prefix}{name}/")


def name_weights(layer: Weighted) -> None:
    """Gives weights without a name that of their attribute, and makes names unique."""
    _adopt_variables(layer)
    layer._kgraph.settled = True
    _name(layer)


def _name(layer: Weighted) -> None:
    own: list[Variable] = layer._kgraph.weights
    places = {id(weight): path.replace("/", "_") for path, weight in members(layer, Variable)}
    taken = {path.partition("/")[0] for path, _ in children(layer)}
    for weight in own:
        base = weight.name if weight.is_named else places.get(id(weight), "weight")
        name, n = base, 0
        while name in taken:
            n += 1
            name = f"{base}_{n}"
        weight.rename(name)
        taken.add(name)


def name_paths(layer: Layer, path: str) -> None:
    """Gives a layer, its weights and those of the layers inside the paths that Keras gives them.

    These are made of the names of layers, where the paths of files are made of attributes.
    """
    core = layer._kgraph
    core.path, core.inside = path, []
    for weight in core.weights:
        weight.path = f"{path}/{weight.name}"
    taken: Counter[str] = Counter()
    for _, child in children(layer):
        name, number = child.name, taken[child.name]
        taken[name] += 1
        inner = f"{name}_{number}" if number else name
        name_paths(child, f"{path}/{inner}" if layer._kgraph_opens_path else inner)
        core.inside.append(child._kgraph)


def _adopt_variables(layer: Weighted) -> None:
    """Makes variables that were put into attributes weights of the layer, as in Keras."""
    own: list[Variable] = layer._kgraph.weights
    known = {id(weight) for weight in own}
    own += [v for _, v in members(layer, Variable) if id(v) not in known]


def _adopt_new_variables(layer: Weighted) -> None:
    """Makes those of them weights that no layer inside has, whenever they were put there."""
    own: list[Variable] = layer._kgraph.weights
    known = {id(weight) for weight in own}
    new = {id(v): v for _, v in members(layer, Variable) if id(v) not in known}
    if new:
        inside = {id(w) for _, child in children(layer) for _, w, _ in walk_weights(child)}
        own += [weight for weight in new.values() if id(weight) not in inside]
    if own:
        _name(layer)
