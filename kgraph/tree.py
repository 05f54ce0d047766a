"""Nested structures: lists, tuples (named ones too), deques and dicts, walked as in `keras.tree`.

The entries of a dict count in the order of its sorted keys, those of an `OrderedDict` in its own.
None is a leaf, as is everything else that is no container of these.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kgraph.errors import ConfigError
from kgraph.types import Tree

__all__ = [
    "MAP_TO_NONE", "assert_same_paths", "assert_same_structure", "flatten", "flatten_with_path",
    "is_nested", "lists_to_tuples", "map_shape_structure", "map_structure", "map_structure_up_to",
    "pack_sequence_as", "traverse",
]  # fmt: skip


class MAP_TO_NONE:
    """What a function given to `traverse` returns to put None in a place."""


@dataclass(frozen=True)
class _Container:
    """What a container is made of: places, their contents, and how to make another like it."""

    form: Any
    keys: list[Any]
    items: list[Any]
    make: Callable[[list[Any]], Any]


def _opened(structure: Tree) -> _Container | None:
    """Returns a container's contents; None for a leaf."""
    if isinstance(structure, dict):
        return _opened_dict(structure)
    if not isinstance(structure, (list, tuple, deque)):
        return None
    kind = type(structure)
    keys = list(range(len(structure)))
    if hasattr(structure, "_fields"):
        return _Container(kind, keys, list(structure), lambda items: kind(*items))
    if isinstance(structure, deque):
        size = structure.maxlen
        return _Container("deque", keys, list(structure), lambda items: deque(items, size))
    plain = list if isinstance(structure, list) else tuple
    return _Container(plain.__name__, keys, list(structure), plain)


def _opened_dict(structure: dict[Any, Any]) -> _Container:
    ordered = isinstance(structure, OrderedDict)
    keys = list(structure) if ordered else _sorted(structure)

    def make(items: list[Any]) -> Any:
        filled = dict(zip(keys, items))
        if ordered:
            return OrderedDict(filled)
        filled = {key: filled[key] for key in structure}
        if isinstance(structure, defaultdict):
            return defaultdict(structure.default_factory, filled)
        return filled

    return _Container("dict", keys, [structure[key] for key in keys], make)


def _sorted(keys: Any) -> list[Any]:
    try:
        return sorted(keys)
    except TypeError:  # keys of several types
        return sorted(keys, key=lambda key: (type(key).__qualname__, str(key)))


def is_nested(structure: Tree) -> bool:
    """Tells whether something is a container."""
    return _opened(structure) is not None


def flatten(structure: Tree) -> list[Any]:
    """Returns the leaves.

    >>> flatten({"b": 1, "a": [2, None]})
    [2, None, 1]
    """
    return [leaf for _, leaf in _walk(structure, ())]


def flatten_with_path(structure: Tree) -> list[tuple[tuple[Any, ...], Any]]:
    """Returns the leaves, each with the keys and numbers that lead to it.

    >>> flatten_with_path({"b": 1, "a": [2]})
    [(('a', 0), 2), (('b',), 1)]
    """
    return list(_walk(structure, ()))


def _walk(structure: Tree, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    container = _opened(structure)
    if container is None:
        yield path, structure
        return
    for key, item in zip(container.keys, container.items):
        yield from _walk(item, (*path, key))


def pack_sequence_as(structure: Tree, flat_sequence: Sequence[object]) -> Any:
    """Returns the structure with other leaves: the inverse of `flatten`.

    Raises:
        ConfigError: there are more or fewer leaves.
    """
    values = list(flat_sequence)
    count = len(flatten(structure))
    if len(values) != count:
        raise ConfigError(
            "A structure cannot be filled with another number of values",
            expected=count, received=len(values),
        )  # fmt: skip
    rest = iter(values)
    return _mapped(lambda _: next(rest), [structure], True)


def map_structure(func: Callable[..., object], *structures: Tree, none_is_leaf: bool = True) -> Any:
    """Returns the structure with each leaf replaced by `func` of the leaves in its place.

    Args:
        func: takes as many leaves as there are structures.
        structures: of one structure.
        none_is_leaf: False leaves None as it is.

    Raises:
        ConfigError: the structures differ.
    """
    if not structures:
        raise ConfigError("map_structure needs at least one structure")
    return _mapped(func, list(structures), none_is_leaf)


def _mapped(func: Callable[..., object], structures: list[Tree], none_is_leaf: bool) -> Any:
    first = _opened(structures[0])
    if first is None:
        others = [item for item in structures if is_nested(item)]
        if not none_is_leaf:
            others += [item for item in structures if (item is None) != (structures[0] is None)]
        if others:
            raise _differ(structures[0], others[0])
        if structures[0] is None and not none_is_leaf:
            return None
        return func(*structures)
    rows = [_items_like(first, item, structures[0]) for item in structures]
    return first.make([_mapped(func, list(items), none_is_leaf) for items in zip(*rows)])


def map_structure_up_to(
    shallow_structure: Tree, func: Callable[..., object], *structures: Tree
) -> Any:
    """Returns the shallow structure with each leaf replaced by `func` of what is in its place.

    The other structures may be deeper: `func` is given what they have there.

    >>> map_structure_up_to([0, 0], len, [[1, 2], [3]])
    [2, 1]
    """
    if not structures:
        raise ConfigError("map_structure_up_to needs at least one structure")
    shallow = _opened(shallow_structure)
    if shallow is None:
        return func(*structures)
    rows = [_items_like(shallow, item, shallow_structure) for item in structures]
    made = [map_structure_up_to(item, func, *others) for item, *others in zip(shallow.items, *rows)]
    return shallow.make(made)


def assert_same_structure(a: Tree, b: Tree, check_types: bool | None = None) -> None:
    """Raises ConfigError unless both have the same containers; `check_types` has no effect."""
    _mapped(lambda *_: None, [a, b], True)


def assert_same_paths(a: Tree, b: Tree) -> None:
    """Raises ConfigError unless the same keys and numbers lead to the leaves of both."""
    one, other = ({path for path, _ in _walk(tree, ())} for tree in (a, b))
    if one != other:
        raise ConfigError(
            "Two structures do not have the same paths",
            expected=f"also {sorted(map(str, one - other))} in the second",
            received=f"also {sorted(map(str, other - one))} in it",
        )


def lists_to_tuples(structure: Tree) -> Any:
    """Returns the structure with tuples in the place of lists."""
    container = _opened(structure)
    if container is None:
        return structure
    items = [lists_to_tuples(item) for item in container.items]
    return tuple(items) if isinstance(structure, list) else container.make(items)


def map_shape_structure(func: Callable[..., object], structure: Tree) -> Any:
    """Returns the structure with each shape, a list or tuple of numbers or None, replaced.

    >>> map_shape_structure(len, {"a": (None, 3), "b": [(2,)]})
    {'a': 2, 'b': [1]}
    """
    if isinstance(structure, (list, tuple)) and all(
        size is None or isinstance(size, int) for size in structure
    ):
        return func(structure)
    container = _opened(structure)
    if container is None:
        return func(structure)
    return container.make([map_shape_structure(func, item) for item in container.items])


def traverse(func: Callable[..., object], structure: Tree, top_down: bool = True) -> Any:
    """Returns the structure with what `func` returns for its parts, containers included.

    Args:
        func: takes a container or leaf; None leaves it (top down: and goes on inside), and
            `MAP_TO_NONE` puts None in its place.
        structure: what to walk through.
        top_down: whether a container comes before its contents.
    """
    found = func(structure) if top_down else None
    if found is None:
        container = _opened(structure)
        made = structure
        if container is not None:
            made = container.make([traverse(func, item, top_down) for item in container.items])
        found = None if top_down else func(made)
        if found is None:
            return made
    return None if found is MAP_TO_NONE else found


def _items_like(container: _Container, other: Tree, example: Tree) -> list[Any]:
    """Returns the contents of another container of the same form, in the same order."""
    opened = _opened(other)
    same = opened is not None and opened.form == container.form
    if opened is None or not same or set(opened.keys) != set(container.keys):
        raise _differ(example, other)
    contents = dict(zip(opened.keys, opened.items))
    return [contents[key] for key in container.keys]


def _differ(first: Tree, second: Tree) -> ConfigError:
    return ConfigError(
        "Structures don't have the same nested structure",
        expected=f"like {first!r}"[:200], received=f"{second!r}"[:200],
    )  # fmt: skip
