"""Whose a class is, and what it says of itself by a keyword in its `class` statement.

A keyword takes no name from the class: `class Noise(Layer, traits=Traits(...))` leaves every
attribute to the user. What a class says holds for its subclasses too, as long as they leave alone
what it said it of: one that defines a method or attribute of its bases anew has to say it again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

_words: WeakKeyDictionary[type, Any] = WeakKeyDictionary()

_HARMLESS = frozenset({"get_config", "from_config"})
"""What a subclass may define without becoming another thing; special methods may be, too."""


def is_own(thing: object) -> bool:
    """Tells whether a class, a function or an object's class is kgraph's."""
    return comes_from(thing, "kgraph")


def comes_from(thing: object, *packages: str) -> bool:
    """Tells whether a class, a function or an object's class is defined in one of the packages."""
    module = getattr(thing, "__module__", None)
    return isinstance(module, str) and module.partition(".")[0] in packages


def declare(cls: type, word: Any) -> None:
    """Keeps what a class says of itself: a value, or a function of an instance that returns it."""
    _words[cls] = word


def speaker(cls: type) -> type | None:
    """Returns the class whose word holds for a class, or None.

    Own classes say what they do not share with their bases. A user's class has said nothing of what
    it defines anew.
    """
    for place, base in enumerate(cls.__mro__):
        if base in _words:
            return base
        if not is_own(base) and _redefines(base, cls.__mro__[place + 1 :]):
            return None
    return None


def word_of(thing: object) -> Any:
    """Returns what the class of an object says of it, or None if nothing is known."""
    found = speaker(type(thing))
    word = None if found is None else _words[found]
    return word(thing) if callable(word) else word


def method_of(thing: object, name: str, arguments: int) -> Callable[..., Any]:
    """Returns the method that a class, or the nearest of its bases, has for so many arguments.

    A user's class may use the name of a hook for something else (an attribute, a property, a method
    with other arguments): that is not the hook.
    """
    for cls in type(thing).__mro__:
        found = vars(cls).get(name)
        if inspect.isfunction(found) and _takes(found, 1 + arguments):
            return found.__get__(thing)
    raise AttributeError(name)


def _takes(function: FunctionType, arguments: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except TypeError:
        return False
    return True


def _redefines(cls: type, bases: tuple[type, ...]) -> bool:
    names = (n for n in vars(cls) if n not in _HARMLESS and (n == "__call__" or n[:2] != "__"))
    return any(name in vars(base) for name in names for base in bases)
