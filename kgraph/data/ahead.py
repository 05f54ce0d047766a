"""Taking items ahead of time in one background thread, where that is faster."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

from kgraph.interrupts import heard, wait_until

T = TypeVar("T")
V = TypeVar("V")

_END = object()
_JOIN_SECONDS = 5.0

_HOP_SECONDS = 0.25e-3
"""What it costs to take an item from a thread that needs Python as well."""

_PATIENCE_SECONDS = 2e-3
"""How much longer than that the items made so far may have taken, for the sake of one of them."""


def ahead_if_slow(items: Iterator[T], prepare: Callable[[T], V]) -> Generator[V, None, None]:
    """Yields `prepare(item)` for each item, and turns to a thread (`ahead`) if that takes long.

    What the device has to do waits in a row of its own, so short work on the host is hidden anyhow.
    """
    late, in_thread = 0.0, False
    try:
        while late < _PATIENCE_SECONDS:
            start = time.perf_counter()
            with heard():
                item = next(items, _END)
            if item is _END:
                return
            ready = prepare(item)  # pyright: ignore[reportArgumentType]
            late = max(0.0, late + time.perf_counter() - start - _HOP_SECONDS)
            yield ready
        in_thread = True
    finally:
        close = getattr(items, "close", None)
        if close is not None and not in_thread:
            close()
    yield from ahead(items, prepare)


def ahead(
    items: Iterator[T], prepare: Callable[[T], V], depth: int = 2
) -> Generator[V, None, None]:
    """Yields `prepare(item)` for each item; a thread is up to `depth` items ahead.

    The iterator is used by the thread alone, and closed by it. What it or `prepare` raises arrives
    here, the same exception with its traceback, after the items before it. However this generator
    ends, the thread ends with it (an iterator that never returns is left behind as a daemon).
    """
    waiting: queue.Queue[Any] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: object) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((prepare(item), None)):
                    break
            end: Any = (_END, None)
        except BaseException as error:
            end = (_END, error)
        try:
            close = getattr(items, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            end = (_END, end[1] or error)
        put(end)

    taken: list[Any] = []

    def arrives(seconds: float) -> bool:
        with contextlib.suppress(queue.Empty):
            taken.append(waiting.get(timeout=seconds))
        return bool(taken)

    thread = threading.Thread(target=work, name="kgraph-data", daemon=True)
    try:
        thread.start()
        while True:
            wait_until(arrives)
            item, error = taken.pop()
            if item is _END:
                if error is not None:
                    raise error
                return
            yield item
    finally:
        stopped.set()
        with heard():
            if thread.is_alive():
                thread.join(_JOIN_SECONDS)
