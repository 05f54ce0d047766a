"""Ctrl-C at the right moment: it waits where it would leave something half done.

A call that trains, evaluates or predicts is `held`. Where it waits (for data, for a device, for the
compiler, for the disk), and while functions of the user run, it is `heard` again. So JAX is never
interrupted while it imports or traces, and whatever gives back weights and threads on the way out
runs to its end, however often Ctrl-C comes.

Nothing of this happens in other threads than the main one, which signals never reach, nor while
SIGINT has a handler that is not Python's own. Where Ctrl-C cannot be heard, `unheard.py` says so.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from types import FrameType, TracebackType
from typing import ParamSpec, TypeVar

from kgraph.unheard import listener

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = 2.0
"""So many seconds may code that JAX traces go on after Ctrl-C; then another one ends it."""

_END = object()
_MOMENT = 0.5


class _Signal:
    """What is known of SIGINT.

    Attributes:
        may_arrive: whether the handler raises it just now.
        pending: whether it has come and has not arrived yet. So it is, too, if Python has swallowed
            it: what a handler raises inside a finalizer goes nowhere.
        since: when it came, if it is pending.
        patience: after so many seconds another one is raised all the same.
    """

    may_arrive = pending = False
    since, patience = 0.0, math.inf


def _handle(number: int, frame: FrameType | None) -> None:
    now = time.monotonic()
    if not _Signal.pending:
        _Signal.since = now
    _Signal.pending = True
    listener().answer()
    if _Signal.may_arrive or now - _Signal.since > _Signal.patience:
        _Signal.may_arrive = False  # the way out has begun
        raise KeyboardInterrupt


def _is_held() -> bool:
    return (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is _handle
    )


class held:
    """Within the block Ctrl-C waits. It arrives at the end, as soon as it may.

    A block that fails meanwhile ends by KeyboardInterrupt all the same; one that ends the program
    does that.

    Args:
        patience: so many seconds after Ctrl-C another one is not held any more: for code of users,
            which may never end.
    """

    def __init__(self, patience: float = math.inf) -> None:
        self._patience = patience

    def __enter__(self) -> None:
        self._holds = self._is_first = self._might = self._listens = False
        if threading.current_thread() is not threading.main_thread():
            return
        handler = signal.getsignal(signal.SIGINT)
        if handler is signal.default_int_handler:
            self._is_first = True
            _Signal.may_arrive = _Signal.pending = False
            signal.signal(signal.SIGINT, _handle)
            self._listens = listener().begin()
        elif handler is not _handle:
            return
        self._might, _Signal.may_arrive = _Signal.may_arrive, False
        self._patience, _Signal.patience = _Signal.patience, self._patience
        self._holds = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._holds:
            return
        if self._listens:
            listener().end()
        _Signal.patience = self._patience
        if not self._is_first:
            _Signal.may_arrive = self._might
        elif signal.getsignal(signal.SIGINT) is _handle:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            return
        if _Signal.pending and (self._is_first or self._might):
            _Signal.may_arrive = _Signal.pending = False
            raise KeyboardInterrupt from error


class heard:
    """Within the block, inside one that is `held`, Ctrl-C arrives as soon as it comes."""

    def __enter__(self) -> None:
        self._hears, self._might = _is_held(), _Signal.may_arrive
        if not self._hears:
            return
        try:
            _Signal.may_arrive = True
            if _Signal.pending:
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            _Signal.may_arrive = _Signal.pending = False
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._hears:
            return
        _Signal.may_arrive = self._might
        if isinstance(error, KeyboardInterrupt):
            _Signal.pending = False
        elif isinstance(error, ValueError) and _is_of_jax_caches(error):
            _Signal.pending = False
            raise KeyboardInterrupt from error


def _is_of_jax_caches(error: ValueError) -> bool:
    """Tells whether JAX 0.12 has made an error of Ctrl-C, which came while it compared keys."""
    return "comparable using __eq__" in str(error) and "KeyboardInterrupt" in str(error)


def tracing(function: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function that has JAX trace code, which Ctrl-C could leave unable to go on."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with held(PATIENCE):
            return function(*args, **kwargs)

    return run


def wait_until(ends: Callable[[float], bool]) -> None:
    """Returns when `ends(seconds)`, which waits so long, has returned True. Ctrl-C is heard.

    It waits for a moment at a time, for Python may miss a signal that comes as a wait begins.
    """
    with heard():
        while not ends(_MOMENT):
            pass


def listening(items: Iterable[T]) -> Iterator[T]:
    """Yields the items. While it waits for the next one, Ctrl-C is heard."""
    iterator = iter(items)
    while True:
        with heard():
            item = next(iterator, _END)
        if item is _END:
            return
        yield item  # pyright: ignore[reportReturnType]
