"""Classes and functions of the user's own, by the names under which files and configs name them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

from kgraph.types import CustomObjects

T = TypeVar("T")

_users: dict[str, Any] = {}
_scoped: ContextVar[tuple[dict[str, Any], ...]] = ContextVar("kgraph_custom_objects", default=())


def register_keras_serializable(
    package: str = "Custom", name: str | None = None
) -> Callable[[T], T]:
    """Makes a class or function of the user's readable from files, under `package>name`.

    >>> @register_keras_serializable("my_package")
    ... def doubled_relu(x):
    ...     return 2 * abs(x)
    >>> get_registered_name(doubled_relu)
    'my_package>doubled_relu'
    """

    def decorate(thing: T) -> T:
        label = f"{package}>{name or getattr(thing, '__name__', type(thing).__name__)}"
        _users[label] = thing
        return thing

    return decorate


def get_registered_name(thing: object) -> str:
    """Returns the name under which a class or function is known in files."""
    for label, known in _users.items():
        if known is thing:
            return label
    return getattr(thing, "__name__", type(thing).__name__)


def get_registered_object(name: str, custom_objects: CustomObjects | None = None) -> Any | None:
    """Returns what the user registered or passed under `name`, or None."""
    for scope in (custom_objects or {}, *reversed(_scoped.get()), _users):
        if name in scope:
            return scope[name]
        short = name.rpartition(">")[2]
        if scope is not _users and short in scope:
            return scope[short]
    return None


def get_custom_objects() -> dict[str, Any]:
    """Returns the user's registered objects by name (the live dictionary, as in Keras)."""
    return _users


@contextlib.contextmanager
def custom_object_scope(custom_objects: CustomObjects | None) -> Iterator[None]:
    """Makes `custom_objects` (name to class or function) readable inside the `with` block."""
    token = _scoped.set((*_scoped.get(), dict(custom_objects or {})))
    try:
        yield
    finally:
        _scoped.reset(token)


CustomObjectScope = custom_object_scope
