"""Looks for JAX primitives in a jaxpr, to any depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def equations(jaxpr: Any) -> Iterator[Any]:
    """Yields every equation of a jaxpr (or of some of its equations) and of those inside it."""
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    for equation in getattr(jaxpr, "eqns", jaxpr):
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, (list, tuple)) else (value,):
                if hasattr(getattr(inner, "jaxpr", inner), "eqns"):
                    yield from equations(inner)


def loops_over(jaxpr: Any, primitive: str) -> bool:
    """Tells whether a `scan` in a jaxpr holds a primitive."""
    return any(
        inner.primitive.name == primitive
        for equation in equations(jaxpr)
        if equation.primitive.name == "scan"
        for inner in equations(equation.params["jaxpr"])
    )
