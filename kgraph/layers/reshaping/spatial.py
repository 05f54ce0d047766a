"""What layers over 1, 2 or 3 spatial axes share: their options and where those axes are."""

from __future__ import annotations

from typing import Any

from kgraph.checks import is_whole
from kgraph.config import image_data_format
from kgraph.errors import ConfigError, check_choice

Pairs = tuple[tuple[int, int], ...]
"""For each spatial axis: a number for its start and one for its end."""


def layout(owner: str, data_format: str | None) -> str:
    """Returns a checked layout, `image_data_format()` by default."""
    found = data_format or image_data_format()
    check_choice(owner, "data_format", found, ("channels_last", "channels_first"))
    return found


def first_spatial_axis(data_format: str) -> int:
    """Returns the index of the first spatial axis."""
    return 2 if data_format == "channels_first" else 1


def pairs(owner: str, option: str, value: object, rank: int) -> Pairs:
    """Returns a pair for each spatial axis.

    Args:
        value: one number for all; for one axis a pair; for several axes one number or pair each.

    Raises:
        ConfigError: it is none of these, or a number is negative.
    """
    per_axis: Any = (value,) * rank if isinstance(value, int) or rank == 1 else value
    try:
        found = tuple((v, v) if isinstance(v, int) else tuple(v) for v in per_axis)
    except TypeError:
        found = ()
    if len(found) != rank or not all(len(pair) == 2 and all(map(_fits, pair)) for pair in found):
        forms = "a number or a pair" if rank == 1 else f"a number, or {rank} numbers or pairs"
        raise ConfigError(
            f"{owner} cannot have this value of `{option}`",
            expected=f"{forms}, of at least 0",
            received=repr(value),
        )
    return found  # type: ignore[return-value]


def _fits(number: Any) -> bool:
    return is_whole(number, least=0)


def factors(owner: str, option: str, value: object, rank: int) -> tuple[int, ...]:
    """Returns a positive number for each spatial axis, from one number or one for each.

    Raises:
        ConfigError: it is neither.
    """
    found = (value,) * rank if isinstance(value, int) else value
    if (
        not isinstance(found, (list, tuple))
        or len(found) != rank
        or not all(_fits(number) and number > 0 for number in found)
    ):
        raise ConfigError(
            f"{owner} cannot have this value of `{option}`",
            expected="a positive whole number" + (f", or {rank} of them" if rank > 1 else ""),
            received=repr(value),
        )
    return tuple(found)
