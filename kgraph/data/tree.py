"""Nested lists, tuples and dicts of arrays, with a readable path for each leaf.

Host-side data never needs JAX's pytrees, and an error wants `x['title']` rather than a key path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kgraph.types import Tree


def leaves(tree: Tree, path: str) -> Iterator[tuple[str, Any]]:
    """Yields (path, leaf) for each leaf that is not None, in order.

    >>> list(leaves({"title": 1, "tags": [2, None]}, "x"))
    [("x['title']", 1), ("x['tags'][0]", 2)]
    """
    if isinstance(tree, Mapping):
        for key, item in tree.items():
            yield from leaves(item, f"{path}[{key!r}]")
    elif isinstance(tree, (list, tuple)):
        for i, item in enumerate(tree):
            yield from leaves(item, f"{path}[{i}]")
    elif tree is not None:
        yield path, tree


def map_leaves(
    function: Callable[[Any, str], Any],
    tree: Tree,
    path: str = "x",
    is_leaf: Callable[[Any], bool] = lambda _: False,
) -> Any:
    """Returns the same structure with `function(leaf, path)` at each leaf; None stays None."""
    if tree is None:
        return None
    if is_leaf(tree):
        return function(tree, path)
    if isinstance(tree, Mapping):
        return {k: map_leaves(function, v, f"{path}[{k!r}]", is_leaf) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        items = [map_leaves(function, v, f"{path}[{i}]", is_leaf) for i, v in enumerate(tree)]
        if isinstance(tree, list):
            return items
        return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
    return function(tree, path)
