"""Counts what XLA compiles, whoever asks for it."""

from __future__ import annotations

from collections.abc import Callable

import jax

_COMPILED: list[str] = []


def _listen(name: str, *_, **__) -> None:
    if name == "/jax/core/compile/backend_compile_duration":
        _COMPILED.append(name)


jax.monitoring.register_event_duration_secs_listener(_listen)


def compilations(call: Callable[[], object]) -> int:
    """How many programs are compiled in `call()`."""
    before = len(_COMPILED)
    call()
    return len(_COMPILED) - before
