"""The platform that code is being lowered for: that of this process, or another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import jax

_wanted: ContextVar[str | None] = ContextVar("kgraph_platform", default=None)


def platform() -> str:
    """Returns "cpu", "gpu" or "tpu": what the program that is being made will run on."""
    return _wanted.get() or jax.default_backend()


@contextlib.contextmanager
def lowering_for(name: str) -> Iterator[None]:
    """Has programs that are made within the block choose what another platform does best."""
    token = _wanted.set(name)
    try:
        yield
    finally:
        _wanted.reset(token)
