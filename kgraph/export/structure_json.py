"""The nesting of inputs and outputs as JSON types: lists that begin with what they are."""

from __future__ import annotations

from typing import Any

from kgraph.errors import ConfigError
from kgraph.graph.structure import Slot, slots
from kgraph.saving.files.misfit import Misfit, is_count
from kgraph.types import Tree

_MAX_DEPTH = 32


def encode(structure: Tree) -> Any:
    """Returns a structure of slots as JSON types; a named tuple becomes a tuple.

    Raises:
        ConfigError: it has a dict whose keys are not texts, or a constant.

    >>> encode({"a": Slot(0), "b": [Slot(1)]})
    ['dict', ['a', 0], ['b', ['list', 1]]]
    """
    if isinstance(structure, Slot):
        return structure.index
    if isinstance(structure, dict) and all(isinstance(key, str) for key in structure):
        return ["dict", *([key, encode(value)] for key, value in structure.items())]
    if isinstance(structure, (list, tuple)):
        return [
            "list" if isinstance(structure, list) else "tuple",
            *(encode(item) for item in structure),
        ]
    raise ConfigError(
        "A structure of inputs or outputs cannot be exported",
        expected="lists, tuples, and dicts with texts as keys",
        received=repr(structure)[:80],
    )


def decode(data: Any, count: int, place: str) -> Any:
    """Returns the structure of slots that `encode` wrote, with each of `count` slots once.

    Raises:
        Misfit: it is none.
    """
    structure = _decode(data, place, 0)
    if sorted(slots(structure)) != list(range(count)):
        raise Misfit(place, f"{count} tensors, each once", slots(structure))
    return structure


def _decode(data: Any, place: str, depth: int) -> Any:
    if is_count(data):
        return Slot(data)
    if depth > _MAX_DEPTH or not isinstance(data, list) or not data:
        raise Misfit(place, "a structure of tensors", data)
    kind, *items = data
    if kind in ("list", "tuple"):
        found = [_decode(item, place, depth + 1) for item in items]
        return found if kind == "list" else tuple(found)
    pairs = all(isinstance(i, list) and len(i) == 2 and isinstance(i[0], str) for i in items)
    if kind != "dict" or not pairs or len({key for key, _ in items}) != len(items):
        raise Misfit(place, "a list, tuple or dict", kind)
    return {key: _decode(value, place, depth + 1) for key, value in items}
