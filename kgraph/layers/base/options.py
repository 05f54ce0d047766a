"""The options that every layer has, and keywords that no constructor of a layer takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TypedDict

from kgraph.errors import ConfigError, nearest
from kgraph.types import PolicyLike, RegularizerLike


class Flags(TypedDict, total=False):
    """The keyword arguments that no layer names among its own; `Layer` documents all of these."""

    trainable: bool
    autocast: bool


class OptionsButName(Flags, total=False):
    """For layers that name `name` among their own."""

    activity_regularizer: RegularizerLike | None
    dtype: PolicyLike | None


class CommonOptions(Flags, total=False):
    """For layers that name `activity_regularizer` among their own."""

    dtype: PolicyLike | None
    name: str | None


class LayerOptions(OptionsButName, total=False):
    """All that layers share."""

    name: str | None


def unknown_options(cls: type, unknown: Iterable[str]) -> ConfigError:
    """Returns the error for keywords that no constructor of a layer class takes."""
    names = [
        p.name
        for p in inspect.signature(cls.__init__).parameters.values()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "self"
    ]
    known = list(dict.fromkeys([*names, *LayerOptions.__annotations__]))
    first = next(iter(unknown))
    return ConfigError(
        f"{cls.__name__} has no option {', '.join(map(repr, unknown))}",
        expected=", ".join(known),
        hint="declare the shape with Input" if "input_shape" in unknown else nearest(first, known),
    )
