"""Making items ahead of time in threads, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def in_order(
    make: Callable[[K], V], keys: Iterable[K], workers: int, ahead: int
) -> Generator[V, None, None]:
    """Yields `make(key)` for each key in order, made by threads up to `ahead` items early.

    An exception of `make` is raised in its turn, unchanged. The threads have ended when the
    iterator has, however it ends.
    """
    pending: deque[Future[V]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="kgraph-data") as pool:
        try:
            for key in keys:
                pending.append(pool.submit(make, key))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
