"""The distribution in force, for models that were not compiled with one of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kgraph.errors import ConfigError

if TYPE_CHECKING:
    from kgraph.distribution.base import Distribution

_in_force: list[Distribution] = []
"""The last one counts; empty for one device."""


def distribution() -> Distribution | None:
    """Returns the distribution in force; None where everything runs on one device."""
    return _in_force[-1] if _in_force else None


def set_distribution(value: Distribution | None) -> None:
    """Puts a distribution in force for the process, or (None) ends that.

    A model may have one of its own: `model.compile(..., distribution=...)`. One that is compiled
    while a distribution is in force keeps it.
    """
    check_distribution(value)
    _in_force[:] = [] if value is None else [value]


def check_distribution(value: object) -> None:
    """Raises ConfigError for what is neither a distribution nor None."""
    if value is not None and not hasattr(value, "device_mesh"):
        raise ConfigError(
            "This is no distribution",
            expected="DataParallel(...), FSDP(...), ModelParallel(...) or None",
            received=repr(value),
        )  # fmt: skip


@contextlib.contextmanager
def in_force(value: Distribution) -> Iterator[None]:
    """Puts a distribution in force within the block."""
    before = distribution()
    set_distribution(value)
    try:
        yield
    finally:
        set_distribution(before)
