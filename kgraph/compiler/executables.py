"""Executables: XLA makes them in threads, which Ctrl-C can leave behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.core import Tracer

from kgraph.interrupts import PATIENCE, held, wait_until

_LEFT = "XLA cannot be stopped: it goes on in the background, and the program ends when it has"


class Making:
    """An executable that XLA is making, in a thread that Ctrl-C can leave behind.

    XLA cannot be stopped, so the thread ends when it has. Whoever wants the same by then gets it.

    Args:
        lowered: what `jax.jit(...).lower(...)` returned.
        options: of the compiler.

    Attributes:
        seconds: that it took; 0 until then.
    """

    seconds = 0.0

    def __init__(self, lowered: Any, options: Any) -> None:
        self._lowered: Any = lowered
        self._options = options
        self._found: Any = None
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._make, name="kgraph-compile")
        self._thread.start()

    def _make(self) -> None:
        start = time.perf_counter()
        try:
            self._found = self._lowered.compile(self._options)
        except BaseException as error:
            self._error = error
        finally:
            self._lowered, self.seconds = None, time.perf_counter() - start
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


class Jitted:
    """A function that is compiled once for each form of its arguments, as by `jax.jit`.

    While it is compiled Ctrl-C is heard, and leaves it behind; the next call has what was left.

    Args:
        function: pure. Its first argument, the weights, is of the same form in all calls.
        static: names of arguments that are no arrays.
    """

    def __init__(self, function: Callable[..., Any], static: Sequence[str] = ()) -> None:
        self._call = jax.jit(function, static_argnames=static)
        self._makings: dict[Any, Making | None] = {}

    def __call__(self, weights: Any, *args: Any, **kwargs: Any) -> Any:
        """Returns what the function does; traced with it where somebody traces."""
        given = jax.tree.leaves((weights, args, kwargs))
        if not any(isinstance(leaf, Tracer) for leaf in given):
            self._prepare(weights, args, kwargs)
        return self._call(weights, *args, **kwargs)

    def _prepare(self, weights: Any, args: Any, kwargs: Any) -> None:
        """Has the executable made, which JAX then finds, as it keeps what it has lowered."""
        form = shapes_of((args, kwargs))
        if form not in self._makings:
            with held(PATIENCE):
                lowered = self._call.lower(weights, *args, **kwargs)
            self._makings.setdefault(form, Making(lowered, None))
        if (making := self._makings[form]) is not None:
            making.result()
            self._makings[form] = None


def shapes_of(tree: Any) -> tuple[Any, ...]:
    """Returns structure, shape and dtype of all arrays of a tree, as something to compare.

    What is no array stands there itself.
    """
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple(_aval(leaf) for leaf in leaves)


def _aval(leaf: Any) -> Any:
    if not hasattr(leaf, "dtype"):
        return leaf
    is_weak, sharding = bool(getattr(leaf, "weak_type", False)), getattr(leaf, "sharding", None)
    return tuple(leaf.shape), leaf.dtype, is_weak, sharding
