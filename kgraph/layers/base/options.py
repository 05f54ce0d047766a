"""Keywords that no constructor of a layer takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from kgraph.errors import ConfigError, nearest

_COMMON = ("activity_regularizer", "trainable", "dtype", "autocast", "name")


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
