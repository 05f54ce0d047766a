"""Pairs what users give for each output (targets, losses, weights) with the outputs, by name.

Names are the only key: a dict is matched by output names, or by the keys of the dict that the model
returns, and never by sorted order. A list is matched by position.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kgraph.errors import ConfigError, DataError, nearest
from kgraph.graph.graph import Graph
from kgraph.graph.structure import Slot


def output_keys(graph: Graph) -> tuple[str, ...]:
    """Returns the key of each output: in a dict its key, else the name of the output.

    In front of it stand the keys and places of what it is nested in: `scores/title`, `0/dense`.
    """
    keys = dict(_keys(graph.output_structure, graph.output_names, ""))
    return tuple(keys[i] for i in range(len(keys)))


def _keys(tree: Any, names: tuple[str, ...], outer: str) -> Iterator[tuple[int, str]]:
    if isinstance(tree, Slot):
        yield tree.index, names[tree.index]
        return
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, item in inside:
        if isinstance(item, Slot):
            yield item.index, f"{outer}{key if isinstance(tree, dict) else names[item.index]}"
        else:
            yield from _keys(item, names, f"{outer}{key}/")


def by_output(
    graph: Graph, given: object, what: str, error: type[ConfigError] | type[DataError] = ConfigError
) -> list[Any]:
    """Returns one entry for each output; None where nothing was given.

    Args:
        graph: the model's graph.
        given: a dict by output name, or a list or tuple with an entry for each output; or entries
            in the nesting of the outputs.
        what: what is being paired, for messages.
        error: the class to raise.
    """
    if len(graph.outputs) == 1 and not isinstance(given, (Mapping, list, tuple)):
        return [given]
    names, structure = output_keys(graph), graph.output_structure
    if not isinstance(structure, Slot) and _is_nested(structure) and _nests_alike(structure, given):
        nested: dict[int, Any] = {}
        _take(structure, given, nested)
        return [nested.get(i) for i in range(len(names))]
    if isinstance(given, Mapping):
        aliases = dict(zip(graph.output_names, names))
        for key in given:
            if key not in names and key not in aliases:
                raise error(
                    f"The {what} name an output that the model does not have: {key!r}",
                    expected=", ".join(map(repr, names)),
                    received=", ".join(map(repr, given)),
                    hint=nearest(key, names) or "outputs are named after the layers that make them",
                )
        found = {aliases.get(key, key): value for key, value in given.items()}
        return [found.get(name) for name in names]
    if isinstance(given, (list, tuple)):
        if len(given) != len(names):
            raise error(
                f"The {what} do not fit the outputs of the model",
                expected=f"{len(names)} of them, for {', '.join(map(repr, names))}",
                received=f"{len(given)}",
            )
        return list(given)
    if len(names) > 1 and given is not None:
        raise error(
            f"The {what} are given for one output, and the model has {len(names)}",
            expected=f"a list, or a dict with the keys {', '.join(map(repr, names))}",
            received=type(given).__name__,
        )
    return [given]


def _is_nested(structure: Any) -> bool:
    inside = structure.values() if isinstance(structure, dict) else structure
    return any(not isinstance(item, Slot) for item in inside)


def _nests_alike(structure: Any, given: Any) -> bool:
    """Tells whether entries are nested as the outputs are; some may be missing from a dict."""
    if isinstance(structure, Slot) or given is None:
        return True
    if isinstance(structure, dict):
        known = isinstance(given, Mapping) and set(given) <= set(structure)
        return known and all(_nests_alike(structure[key], item) for key, item in given.items())
    same = isinstance(given, (list, tuple)) and len(given) == len(structure)
    return same and all(_nests_alike(one, item) for one, item in zip(structure, given))


def _take(structure: Any, given: Any, found: dict[int, Any]) -> None:
    """Puts the entry for each output into `found`, by its number."""
    if isinstance(structure, Slot):
        found[structure.index] = given
    elif given is not None:
        keys = list(given) if isinstance(structure, dict) else range(len(structure))
        for key in keys:
            _take(structure[key], given[key], found)
