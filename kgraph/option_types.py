"""Whether options, as a file has them, are of the types that a constructor says it takes.

Constructors check what a user could confuse; a file can hold anything. Only what is plain data is
checked here: truth values, numbers, texts, choices, and sequences of them. All else passes.
"""

from __future__ import annotations

import builtins
import collections.abc
import inspect
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from kgraph.errors import ConfigError

_SEQUENCES = (list, tuple, collections.abc.Sequence, collections.abc.Collection)
_PLAIN: dict[Any, tuple[type, ...]] = {int: (int,), float: (int, float), str: (str,)}


def check_option_types(cls: type, options: Mapping[str, object]) -> None:
    """Raises ConfigError for the first option that is of no type that `cls` takes."""
    hints = _hints(cls)
    for name, value in options.items():
        if name in hints and not _fits(value, hints[name]):
            raise ConfigError(
                f"{cls.__name__} cannot have this `{name}`",
                expected=_text(hints[name]),
                received=f"{value!r} ({type(value).__name__})",
            )


@cache
def _hints(cls: type) -> dict[str, Any]:
    """Returns the types of a constructor's options, those that it passes on among them.

    A class imported for type checkers alone stands for anything.
    """
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        init = vars(base).get("__init__")
        if init is None:
            continue
        if not inspect.isfunction(init):  # that of `object`
            break
        init = inspect.unwrap(init)
        known = _Known({**vars(builtins), **init.__globals__})
        found = get_type_hints(init, localns=known) | found
        if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(init).parameters.values()):
            break
    return found


class _Known(dict[str, Any]):
    """The names that annotations may use; those imported for type checkers alone mean anything."""

    def __missing__(self, name: str) -> Any:
        return Any


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if hint is None or hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint in _PLAIN:
        return isinstance(value, _PLAIN[hint]) and not isinstance(value, bool)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in inner)
    if origin in _SEQUENCES:
        items = [hint for hint in inner if hint is not Ellipsis]
        simple = isinstance(value, (list, tuple)) and len(items) == 1
        return all(_fits(item, items[0]) for item in value) if simple else _may_be_one(value)
    return True


def _may_be_one(value: object) -> bool:
    """Tells whether a value may stand where a sequence is expected (an array may)."""
    return not isinstance(value, (bool, int, float, str, type(None)))


def _text(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
