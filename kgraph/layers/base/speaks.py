"""Tells from the code of a class whether it treats weights as variables: `self.n.assign_add(1)`."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from functools import cache
from typing import Any
from weakref import WeakSet

from kgraph.source import is_installed, is_own

_WORDS = frozenset({"assign", "assign_add", "assign_sub", "value"})
_MOST_FUNCTIONS = 200

_learned: WeakSet[type] = WeakSet()


def speaks_of_variables(cls: type) -> bool:
    """Tells whether a class treats weights as variables, by its code or by what was learned."""
    return cls in _learned or _speaks(cls)


def learn_from(error: Exception, cls: type) -> bool:
    """Notes that a class assigns weights where its code does not show it: by a lambda, say.

    Returns whether that is what the error of a call says, for the first time: the call can be made
    again then.
    """
    text = str(error) if isinstance(error, AttributeError) else ""
    said = re.search(r"no attribute '?(\w+)", text)
    if said is None or said[1] not in _WORDS or cls in _learned:
        return False
    _learned.add(cls)
    return True


@cache
def mentions(cls: type, name: str) -> bool:
    """Tells whether a method that a user has written for a class, or a base of it, has this name.

    So does `super().name(...)`.
    """
    functions = [_function(item) for base in cls.__mro__ for item in vars(base).values()]
    own = [f for f in functions if f is not None and not is_own(f.__code__.co_filename)]
    return any(name in _names(function.__code__) for function in own)


@cache
def _speaks(cls: type) -> bool:
    """Tells whether methods of a class, or functions that they call by name, speak of variables.

    Names are what counts, those that `getattr` is given too. Methods of kgraph's own classes and
    installed functions are not looked into.
    """
    methods = [_function(method) for base in cls.__mro__ for method in vars(base).values()]
    waiting = [f for f in methods if f is not None and not is_own(f.__code__.co_filename)]
    seen: set[types.CodeType] = set()
    while waiting and len(seen) < _MOST_FUNCTIONS:
        function = waiting.pop()
        if function.__code__ in seen:
            continue
        seen.add(function.__code__)
        names = set(_names(function.__code__))
        if names & _WORDS:
            return True
        reached = map(_function, _reached(function.__globals__, names))
        waiting += [f for f in reached if f and not is_installed(f.__code__.co_filename)]
    return False


def _function(item: object) -> types.FunctionType | None:
    """Returns the function in a method, a property or a decorated function."""
    for name in ("fget", "__func__", "__wrapped__"):
        item = getattr(item, name, None) or item
    return item if isinstance(item, types.FunctionType) else None


def _names(code: types.CodeType) -> Iterator[str]:
    """Yields the names and texts in code, nested functions included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, types.CodeType):
            yield from _names(constant)


def _reached(known: dict[str, Any], names: set[str]) -> Iterator[Any]:
    """Yields the functions, and those in the classes, that names stand for in a module."""
    for name in names & known.keys():
        found = known[name]
        if isinstance(found, types.ModuleType):
            yield from (vars(found)[n] for n in names & vars(found).keys())
        elif isinstance(found, type):
            yield from vars(found).values()
        else:
            yield found
