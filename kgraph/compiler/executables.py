"""Executables: XLA makes them in threads, which Ctrl-C can leave behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import jax

from kgraph.interrupts import wait_until

_LEFT = "XLA cannot be stopped: it goes on in the background, and the program ends when it has"


class Making:
    """An executable that XLA is making, in a thread that Ctrl-C can leave behind.

    XLA cannot be stopped, so the thread ends when it has. Whoever wants the same by then gets it.

    Args:
        lowered: what `jax.jit(...).lower(...)` returned.
        options: of the compiler.
    """

    def __init__(self, lowered: Any, options: Any) -> None:
        self._lowered: Any = lowered
        self._options = options
        self._found: Any = None
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._make, name="kgraph-compile")
        self._thread.start()

    def _make(self) -> None:
        try:
            self._found = self._lowered.compile(self._options)
        except BaseException as error:
            self._error = error
        finally:
            self._lowered = None
            self._ended.set()

    @property
    def has_failed(self) -> bool:
        """Whether XLA has raised something."""
        return self._error is not None

    def result(self) -> Callable[..., Any]:
        """Returns the executable when it is there; raises what XLA has raised."""
        try:
            wait_until(self._ended.wait)
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(_LEFT)
            raise
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._found


def shapes_of(tree: Any) -> tuple[Any, ...]:
    """Returns structure, shape and dtype of all arrays of a tree, as something to compare."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple(_aval(leaf) for leaf in leaves)


def _aval(leaf: Any) -> tuple[Any, ...]:
    sharding = getattr(leaf, "sharding", None)
    return tuple(leaf.shape), str(leaf.dtype), bool(getattr(leaf, "weak_type", False)), sharding
