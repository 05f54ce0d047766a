"""Regular expressions of paths of weights and layers, matched in time linear in the path.

They come from users and from files; by Python's `re` a short hostile one could take for ever. RE2
has its syntax without lookaround and backreferences.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from kgraph.errors import ConfigError


@cache
def compiled(pattern: str) -> Any:
    """Returns a compiled expression, with `search` and `fullmatch`.

    Raises:
        ConfigError: it is none, or one that cannot be matched in linear time.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except (re2.error, TypeError) as error:
        reason = error.args[0] if error.args else error
        raise ConfigError(
            f"{pattern!r} is no regular expression of paths",
            expected="the syntax of RE2: Python's, without lookaround and backreferences",
            received=reason.decode() if isinstance(reason, bytes) else reason,
            hint="'encoder/.*' for everything below 'encoder'",
        ) from error


def key_of(path: str, keys: Collection[str], what: str) -> str | None:
    """Returns the key that a path belongs to: itself, or an expression for the whole of it.

    Args:
        path: of a weight or a layer.
        keys: paths and expressions.
        what: has these keys, for messages.

    Raises:
        ConfigError: several expressions match the path.
    """
    if path in keys:
        return path
    found = [key for key in keys if compiled(key).fullmatch(path)]
    if len(found) > 1:
        raise ConfigError(
            f"The path {path!r} matches several keys of the {what}",
            expected="at most one",
            received=", ".join(map(repr, found)),
            hint=f"make the expressions narrower, or add the key {path!r}, which then counts",
        )
    return found[0] if found else None
