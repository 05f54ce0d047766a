"""Properties that Keras' class does not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class extra(Generic[T]):
    """A property that an attribute of the same name replaces: `self.graph = ...` in a subclass.

    Our own code never reads one, so whoever replaces it loses this one alone.

    Args:
        compute: returns the value for an object.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, thing: None, owner: type) -> Self: ...
    @overload
    def __get__(self, thing: object, owner: type) -> T: ...
    def __get__(self, thing: object, owner: type) -> Self | T:
        return self if thing is None else self._compute(thing)
