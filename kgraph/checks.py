"""Checks of values that users give: each says what it expected and what it got.

`owner` is the class or function that was asked, `option` the name of its argument.
"""

from __future__ import annotations

import math
import operator
from typing import NoReturn, TypeGuard

from kgraph.errors import ConfigError


def is_whole(value: object, least: float = -math.inf) -> TypeGuard[int]:
    """Tells whether a value is a whole number of at least `least`. True and False are none.

    >>> is_whole(3, least=1), is_whole(True), is_whole(3.0)
    (True, False, False)
    """
    if isinstance(value, bool):
        return False
    try:
        return operator.index(value) >= least  # type: ignore[arg-type]
    except TypeError:
        return False


def is_number(value: object) -> TypeGuard[float]:
    """Tells whether a value is one real number, NumPy's included. True, False and text are none."""
    return not isinstance(value, (bool, str)) and hasattr(value, "__float__")


def check_count(
    owner: str, option: str, value: object, least: int = 1, most: int | None = None
) -> int:
    """Returns a whole number of at least `least`, or raises ConfigError.

    `most` is for what is paid for before any array exists: tables, and loops that are written out.
    A model file of a kilobyte could ask for any number.
    """
    if not is_whole(value, least) or (most is not None and value > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        _refuse(owner, option, f"a whole number {bounds}", value)
    return int(value)


def check_integer(owner: str, option: str, value: object) -> int:
    """Returns a whole number, or raises ConfigError."""
    return int(value) if is_whole(value) else _refuse(owner, option, "a whole number", value)


def check_not_negative(owner: str, option: str, value: object) -> float:
    """Returns a number of at least 0, or raises ConfigError."""
    if not is_number(value) or not value >= 0:
        _refuse(owner, option, "a number of at least 0", value)
    return float(value)


def check_positive(owner: str, option: str, value: object) -> float:
    """Returns a positive number, or raises ConfigError."""
    if not is_number(value) or not value > 0:
        _refuse(owner, option, "a positive number", value)
    return float(value)


def check_rate(owner: str, option: str, value: object) -> float:
    """Returns a number from 0 to 1, or raises ConfigError."""
    if not is_number(value) or not 0 <= value <= 1:
        _refuse(owner, option, "a number from 0 to 1", value)
    return float(value)


def _refuse(owner: str, option: str, expected: str, value: object) -> NoReturn:
    raise ConfigError(
        f"{owner} cannot have this value of `{option}`", expected=expected, received=repr(value)
    )
