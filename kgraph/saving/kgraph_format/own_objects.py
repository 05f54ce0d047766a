"""Classes and functions of the user's own that a model has, and what a file needs of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from kgraph.custom_objects import get_registered_name, get_registered_object
from kgraph.declared import is_own
from kgraph.descriptions import Opaque
from kgraph.errors import ConfigError
from kgraph.layers.base import Layer
from kgraph.layers.base.tree import children
from kgraph.registry import Recorded, describe, recorded_arguments, registered_names
from kgraph.source import warn

_PLAIN = (type(None), bool, int, float, str)


def live_objects(*things: object, strict: bool = True) -> dict[str, Any]:
    """Returns the user's own classes and functions that are in use in these objects, by name.

    With them a save can be proved before the user passes `custom_objects` to a load.

    Args:
        things: models, and what they are compiled with.
        strict: whether their names must tell them apart.

    Raises:
        ConfigError: one has the name of a class of kgraph's own and is not registered, so a file
            would stand for the other class; or two have one name.
    """
    found: dict[str, Any] = {}
    for kind, thing in _in_use(*things):
        name = get_registered_name(thing)
        if strict and name == thing.__name__ and name in registered_names(kind, like=name):
            raise ConfigError(
                f"Your class {name!r} has the name of one of kgraph's own",
                expected="a name that a file can tell from it",
                hint="rename it, or decorate it with @kgraph.saving.register_keras_serializable()",
            )
        if found.setdefault(name, thing) is not thing and strict:
            what = "classes" if inspect.isclass(thing) else "functions"
            raise ConfigError(
                f"Two of your {what} in this model are named {name!r}",
                hint="rename one, or register both under different names",
            )
    return found


def _in_use(*things: object) -> Iterator[tuple[str, Any]]:
    """Yields kind and class (or function) of all that is the user's own, to any depth."""
    seen: set[int] = set()
    waiting: list[Any] = list(things)
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, _PLAIN) or id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, Mapping):
            waiting += thing.values()
        elif isinstance(thing, (list, tuple)):
            waiting += thing
        elif isinstance(thing, Recorded):
            waiting += recorded_arguments(thing).values()
            if isinstance(thing, Layer):
                waiting += [child for _, child in children(thing)]
            if not is_own(type(thing)):
                yield thing._kgraph_kind, type(thing)
        elif callable(thing) and not is_own(thing):
            described = describe(thing)
            if isinstance(described, Opaque) and described.name is not None:
                yield "custom", thing
            elif isinstance(described, dict) and described.get("kind") == "custom":
                yield "custom", type(thing) if "class_name" in described else thing


def warn_of_unregistered(label: str, found: Mapping[str, Any]) -> None:
    """Warns of classes and functions that a file names but that nobody registered."""
    unknown = [name for name, thing in found.items() if get_registered_object(name) is not thing]
    if unknown:
        given = ", ".join(f"{name!r}: {name}" for name in unknown)
        warn(
            f"{label} is saved with what nobody registered: {', '.join(unknown)}. Decorate it with "
            "@kgraph.saving.register_keras_serializable(), or load the file with custom_objects={"
            f"{given}}}"
        )
