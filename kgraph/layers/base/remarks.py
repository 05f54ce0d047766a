"""Remarks on how something is computed, made while a program is traced, for compile reports."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_listening: ContextVar[list[str] | None] = ContextVar("kgraph_remarks", default=None)


def remark(text: str) -> None:
    """Says how something is computed, and why, to whoever listens."""
    heard = _listening.get()
    if heard is not None and text not in heard:
        heard.append(text)


@contextlib.contextmanager
def remarks() -> Iterator[list[str]]:
    """Gives the list of what is remarked within the block, each once."""
    heard: list[str] = []
    token = _listening.set(heard)
    try:
        yield heard
    finally:
        _listening.reset(token)
