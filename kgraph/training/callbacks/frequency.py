"""How often a callback does something: once in an epoch, or every so many batches."""

from __future__ import annotations

from kgraph.checks import is_whole
from kgraph.errors import ConfigError


def check_frequency(owner: str, option: str, value: object, *words: str) -> None:
    """Raises ConfigError unless a value is "epoch", one of `words`, or a number of batches."""
    words = ("epoch", *words)
    if value not in words and not is_whole(value, least=1):
        raise ConfigError(
            f"{owner} does not know this {option}",
            expected=f"{' or '.join(map(repr, words))}, or a number of batches",
            received=repr(value),
        )
