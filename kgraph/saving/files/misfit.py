"""The error of a check on data from a file, before it is known which file it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Misfit(ValueError):
    """Data are not what they must be: `place`, what was `expected` there, what was `received`."""

    def __init__(self, place: str, expected: str, received: object) -> None:
        super().__init__(f"{place} is not {expected}")
        self.place, self.expected, self.received = place, expected, received


def check(place: str, value: object, fits: Callable[[Any], bool], expected: str) -> None:
    """Raises Misfit unless the value fits."""
    if not fits(value):
        raise Misfit(place, expected, value)


def check_keys(place: str, value: Any, keys: set[str]) -> None:
    """Raises Misfit unless the value is an object with exactly these keys."""
    check(place, value, lambda found: isinstance(found, dict), "an object")
    if set(value) != keys:
        raise Misfit(place, f"the keys {', '.join(sorted(keys))}", sorted(set(value) ^ keys))


def is_count(value: object) -> bool:
    """Tells whether a value is a whole number from 0; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


MAX_NAME = 1024
MAX_RANK = 32
MAX_SIZE = 2**31


def is_name(value: object) -> bool:
    """Tells whether a value is a text that may be the name of something."""
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()


def is_shape(value: Any) -> bool:
    """Tells whether a value is a list of sizes."""
    small = isinstance(value, list) and len(value) <= MAX_RANK
    return small and all(is_count(size) and size < MAX_SIZE for size in value)
