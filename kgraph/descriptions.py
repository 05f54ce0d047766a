"""Descriptions of objects, as `registry.describe` makes them, and what in them is no plain data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Opaque:
    """Stands in a description for a value that is no plain data, such as a lambda.

    Fields:
        text, identity: which value it is; two functions of one name are not equal.
        name: under which a file may name it, if it is a function that was defined by `def`: who
            loads the file passes the function (`custom_objects`). Otherwise None.
    """

    text: str
    identity: int
    name: str | None = None

    @property
    def written(self) -> dict[str, str] | None:
        """What stands for it in a file, or None if nothing can."""
        return None if self.name is None else {"kind": "custom", "function": self.name}


def names_foreign(description: object) -> bool:
    """Tells whether a description holds a function or a class that is not kgraph's."""
    if isinstance(description, dict):
        named = description.get("kind") == "custom" or ">" in str(description.get("class_name"))
        return named or any(map(names_foreign, description.values()))
    if isinstance(description, list):
        return any(map(names_foreign, description))
    return isinstance(description, Opaque)


def written(description: Any) -> Any:
    """Returns a description with names in the place of functions that a file may name."""
    if isinstance(description, Opaque):
        return description.written or description
    if isinstance(description, dict):
        return {key: written(item) for key, item in description.items()}
    return [written(item) for item in description] if isinstance(description, list) else description


def find_opaque(description: object, path: str = "") -> Iterator[tuple[str, Opaque]]:
    """Yields the path and the stand-in of each value of a description that cannot be written."""
    if isinstance(description, Opaque):
        yield path, description
    elif isinstance(description, dict):
        for key, item in description.items():
            yield from find_opaque(item, f"{path}.{key}" if path else str(key))
    elif isinstance(description, list):
        for i, item in enumerate(description):
            yield from find_opaque(item, f"{path}[{i}]")


def text_of(description: object) -> str:
    """Returns a description as text (JSON), equal for equal ones; an `Opaque` equals itself only.

    >>> text_of({"units": 4, "activation": None})
    '{"activation":null,"units":4}'
    """
    return _ENCODER.encode(description)


def _plain_opaque(value: object) -> dict[str, Any]:
    if isinstance(value, Opaque):
        return {"opaque": value.text, "identity": value.identity}
    raise TypeError(f"{type(value).__name__} in a description is not plain data")


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_plain_opaque)
