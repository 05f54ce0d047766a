"""Nested structures of call arguments and outputs, with numbered slots in the place of tensors.

`flatten([a, {"m": b}], is_leaf)` gives `([a, b], [Slot(0), {"m": Slot(1)}])`. Lists, tuples (named
ones too) and dicts are structure, in their own order; all else that is not a leaf is a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from kgraph.types import Tree


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of the `index`-th tensor of a call."""

    index: int

    def plain_data(self) -> dict[str, int]:
        return {"slot": self.index}


def map_structure(function: Callable[[Any], Any], tree: Tree) -> Any:
    """Returns the structure with `function` applied to everything that is not structure."""
    if isinstance(tree, (list, tuple)):
        items = [map_structure(function, item) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    if isinstance(tree, dict):
        return {key: map_structure(function, item) for key, item in tree.items()}
    return function(tree)


def single(tree: Tree) -> Tree:
    """Returns what is in a list or tuple of one, and anything else as it is."""
    return tree[0] if isinstance(tree, (list, tuple)) and len(tree) == 1 else tree


def leaves(tree: Tree) -> Iterator[Any]:
    """Yields everything in a structure that is not itself structure."""
    found: list[Any] = []
    _collect(tree, found)
    return iter(found)


def _collect(tree: Tree, found: list[Any]) -> None:
    if isinstance(tree, (list, tuple)):
        for item in tree:
            _collect(item, found)
    elif isinstance(tree, dict):
        for item in tree.values():
            _collect(item, found)
    else:
        found.append(tree)


def sorted_leaves(tree: Tree) -> Iterator[Any]:
    """Yields the leaves, those of dicts in the order of the keys: what Keras orders layers by."""
    if isinstance(tree, (list, tuple)):
        for item in tree:
            yield from sorted_leaves(item)
    elif isinstance(tree, dict):
        for key in sorted(tree, key=str):
            yield from sorted_leaves(tree[key])
    else:
        yield tree


def flatten(tree: Tree, is_leaf: Callable[[Any], bool]) -> tuple[list[Any], Any]:
    """Returns the leaves in order and the structure with slots in their places."""
    found: list[Any] = []

    def slot(item: object) -> Any:
        if not is_leaf(item):
            return item
        found.append(item)
        return Slot(len(found) - 1)

    return found, map_structure(slot, tree)


def fill(template: Tree, values: Sequence[object]) -> Any:
    """Returns the structure with each slot replaced by the value of its number."""

    def value(item: object) -> Any:
        return values[item.index] if isinstance(item, Slot) else item

    return map_structure(value, template)


def slots(template: Tree) -> list[int]:
    """Returns the numbers of the slots in a structure, in order."""
    return [item.index for item in leaves(template) if isinstance(item, Slot)]


def paths(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields each leaf with a path such as `[0]['title']`."""
    if isinstance(tree, (list, tuple)):
        for i, item in enumerate(tree):
            yield from paths(item, f"{prefix}[{i}]")
    elif isinstance(tree, dict):
        for key, item in tree.items():
            yield from paths(item, f"{prefix}[{key!r}]")
    else:
        yield prefix, tree


def is_structure(value: object) -> TypeGuard[list[Any] | tuple[Any, ...] | dict[Any, Any]]:
    """Tells whether a value is a list, tuple or dict."""
    return isinstance(value, (list, tuple, dict))
