"""Tracebacks as a user reads them: their own frames and the message, without the library's.

Public functions and methods are entries. An exception that leaves one loses the frames of kgraph
and JAX, also in the exceptions that led to it. `kgraph.config.disable_traceback_filtering()`, or
`KGRAPH_TRACEBACK_FILTERING=off` in the environment, shows everything.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from kgraph.config import is_traceback_filtering_enabled
from kgraph.errors import CallError, KGraphError, listed, nearest
from kgraph.source import is_own, jax_folders, user_source

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

_JAXS_NOTE = "For simplicity, JAX has removed its internal frames"
_PYTHON = os.path.join(os.path.dirname(os.__file__), "")
_ENOUGH = 40  # so many characters of a message show that another message tells it
_OUR_NOTE = "(kgraph.config.disable_traceback_filtering() shows where in kgraph this happened)"


def entry(function: Callable[P, R]) -> Callable[P, R]:
    """Returns a public function whose exceptions show only the frames of its user."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                if _never_began(error):
                    _refuse_arguments(function, args, kwargs)
                raise
        except BaseException as error:
            if is_traceback_filtering_enabled():
                filter_traceback(error)
            raise  # adds no frame of its own

    return guarded


def entries(cls: C) -> C:
    """Makes an entry of every public method that a class defines, of `__init__` and `__call__`."""
    for name, item in list(vars(cls).items()):
        public = name in ("__init__", "__call__") or not name.startswith("_")
        if inspect.isfunction(item) and public and not hasattr(item, "__wrapped__"):
            setattr(cls, name, entry(item))
    return cls


def filter_traceback(error: BaseException) -> None:
    """Takes the library's frames out of an exception and of those that led to it."""
    chain = list(_chain(error))
    raised = {id(found) for found in chain if found.__traceback__ is not None}
    for found in reversed(chain):
        before = _before(found)
        mine, its = _visible(found), _visible(before)
        if before is None:
            told = False
        elif isinstance(found, KGraphError):
            told = str(before)[:_ENOUGH] in str(found)
        else:
            told = id(before) in raised and not its
        if told:  # one traceback for both; the other stays in __context__
            mine += its
            found.__cause__, found.__context__ = None, before
            found.__suppress_context__ = True
        _set_notes(found)
        found.__traceback__ = _joined(mine)


def _set_notes(error: BaseException) -> None:
    """Drops JAX's note that its frames are gone; says how to see ours, where one needs them."""
    frames = list(_frames(error.__traceback__))
    notes = [note for note in getattr(error, "__notes__", ()) if _JAXS_NOTE not in note]
    unplanned = isinstance(error, Exception) and not isinstance(error, KGraphError)
    if unplanned and frames and is_own(_file(frames[-1])) and _OUR_NOTE not in notes:
        notes.append(_OUR_NOTE)
    if notes or hasattr(error, "__notes__"):
        error.__notes__ = notes


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yields an exception and those that are printed before it."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = _before(found)


def _before(error: BaseException) -> BaseException | None:
    """Returns the exception that is printed before this one."""
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _visible(error: BaseException | None) -> list[TracebackType]:
    """Returns the frames that are neither the library's nor Python's own below the library's."""
    visible, inside = [], False
    for frame in _frames(None if error is None else error.__traceback__):
        inside = _is_library(_file(frame)) or (inside and _is_pythons(_file(frame)))
        if not inside:
            visible.append(frame)
    return visible


def _joined(frames: Iterable[TracebackType]) -> TracebackType | None:
    joined: TracebackType | None = None
    for frame in reversed(list(frames)):
        joined = TracebackType(joined, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return joined


def _file(frame: TracebackType) -> str:
    return frame.tb_frame.f_code.co_filename


def _is_library(file: str) -> bool:
    return is_own(file) or file.startswith(jax_folders())


def _is_pythons(file: str) -> bool:
    return file.startswith(("<frozen", _PYTHON)) and "site-packages" not in file


# --- arguments that a function does not take ------------------------------------------------------


def _never_began(error: TypeError) -> bool:
    """Tells whether a call failed before the function's first line: its arguments do not fit."""
    return error.__traceback__ is not None and error.__traceback__.tb_next is None


def _refuse_arguments(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    """Raises CallError if the arguments do not fit the signature of a function."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        names = [name for name in signature.parameters if name != "self"]
        unknown = next((name for name in kwargs if name not in names), None)
        raise CallError(
            f"{function.__qualname__.removesuffix('.__init__')}: {error}",
            at=user_source(),
            expected=listed(names),
            hint=None if unknown is None else nearest(unknown, names),
        ) from None
