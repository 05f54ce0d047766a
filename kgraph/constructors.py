"""What constructors take, as their signatures say."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Form:
    """What a constructor takes: its parameters in order, without `self` and `**kwargs`."""

    names: tuple[str, ...]
    positional: tuple[str, ...]
    defaults: dict[str, Any]
    rest: str | None
    open: bool


@cache
def form_of(cls: type) -> Form:
    """Returns what the constructor of a class takes."""
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    rest = [p.name for p in parameters if p.kind is inspect.Parameter.VAR_POSITIONAL]
    return Form(
        tuple(p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD),
        tuple(p.name for p in parameters if p.kind in by_place),
        {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty},
        rest[0] if rest else None,
        any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters),
    )


def accepts(cls: type, option: str) -> bool:
    """Tells whether the constructor of `cls` takes a keyword of this name."""
    form = form_of(cls)
    return form.open or (option in form.names and option != form.rest)
