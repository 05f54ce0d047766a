"""Regular expressions of paths of weights, matched in time linear in the path.

They come from users and from files; by Python's `re` a short hostile one could take for ever. RE2
has its syntax without lookaround and backreferences.
"""

from __future__ import annotations

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
