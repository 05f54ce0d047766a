"""Checks of option values that many layers share."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Iterable
from typing import Any

from kgraph.errors import ConfigError, nearest

_COMMON = ("activity_regularizer", "trainable", "dtype", "autocast", "name")


def check_count(
    owner: str, option: str, value: Any, least: int = 1, most: int | None = None
) -> int:
    """Returns a whole number of at least `least`, or raises ConfigError.

    `most` is for what is paid for before any array exists: tables, and loops that are written out.
    A model file of a kilobyte could ask for any number.
    """
    try:
        count = operator.index(value) if not isinstance(value, bool) else None
    except TypeError:
        count = None
    if count is None or count < least or (most is not None and count > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ConfigError(
            f"{owner} cannot have this value of `{option}`",
            expected=f"a whole number {bounds}",
            received=repr(value),
        )
    return count


def check_not_negative(owner: str, option: str, value: Any) -> None:
    """Raises ConfigError unless a value is a number of at least 0."""
    if not _is_number(value) or not value >= 0:
        raise ConfigError(
            f"{owner} cannot have this value of `{option}`",
            expected="a number of at least 0",
            received=repr(value),
        )


def check_rate(owner: str, option: str, value: Any) -> None:
    """Raises ConfigError unless a value is a number from 0 to 1."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise ConfigError(
            f"{owner} cannot have this value of `{option}`",
            expected="a number from 0 to 1",
            received=repr(value),
        )


def _is_number(value: Any) -> bool:
    return not isinstance(value, (bool, str)) and hasattr(value, "__float__")


def check_integer(owner: str, option: str, value: Any) -> int:
    """Returns a whole number, or raises ConfigError."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ConfigError(
            f"{owner} cannot have this value of `{option}`",
            expected="a whole number",
            received=repr(value),
        )
    return operator.index(value)


def unknown_options(cls: type, unknown: Iterable[str]) -> ConfigError:
    """Returns the error for keywords that no constructor of a layer class takes."""
    names = [
        p.name
        for p in inspect.signature(cls.__init__).parameters.values()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "self"
    ]
    known = list(dict.fromkeys([*names, *_COMMON]))
    first = next(iter(unknown))
    return ConfigError(
        f"{cls.__name__} has no option {', '.join(map(repr, unknown))}",
        expected=", ".join(known),
        hint="declare the shape with Input" if "input_shape" in unknown else nearest(first, known),
    )
