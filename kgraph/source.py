"""Where the user wrote a call: the nearest line outside kgraph."""

from __future__ import annotations

import linecache
import os
import re
import site
import sys
import sysconfig
import warnings
from dataclasses import dataclass
from functools import cache
from types import FrameType, TracebackType

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
# Python's own files and what is installed. The name of a folder alone says nothing: a clone of this
# project, or a folder of the user's, may be called kgraph, jax or site-packages as well.
_PYTHON = (sysconfig.get_path("stdlib"), *site.getsitepackages(), site.getusersitepackages())
_INSTALLED = tuple(os.path.join(folder, "") for folder in _PYTHON)


@dataclass(frozen=True, slots=True)
class Source:
    """A line of the user's code."""

    file: str
    line: int

    def __str__(self) -> str:
        code = linecache.getline(self.file, self.line).strip()
        place = f"{_cell(self.file) or _short(self.file)}:{self.line}"
        return f"{place}  {code}" if code else place


def _cell(file: str) -> str | None:
    """Returns a notebook's cell as the notebook numbers it; None for a file."""
    if not re.search(r"ipykernel_\d+|<ipython-input", file):
        return None
    ipython = sys.modules.get("IPython")  # never imported here: a notebook has done so
    shell = ipython.get_ipython() if ipython is not None else None
    found = None if shell is None else shell.compile.format_code_name(file)
    number = re.search(r"\d+", found[1]) if found else None
    return f"In [{number[0]}]" if number else "<cell>"


def _short(file: str) -> str:
    """Returns a file as the user knows it: a path from where they are."""
    relative = os.path.relpath(file) if os.path.isabs(file) else file
    return relative if not relative.startswith("..") else file


def user_source() -> Source | None:
    """Returns the line of the innermost frame that is inside neither kgraph nor JAX."""
    frame, _ = _users_frame()
    return None if frame is None else Source(frame.f_code.co_filename, frame.f_lineno)


def library_among_callers(*packages: str) -> str | None:
    """Returns the one of these packages whose code has called, directly or not."""
    frame = sys._getframe(1)
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in packages:
            return package
        frame = frame.f_back
    return None


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the line that `user_source` returns; as every warning, once for each line."""
    warnings.warn(text, category, stacklevel=_users_frame()[1])


def _users_frame() -> tuple[FrameType | None, int]:
    """Returns the innermost frame outside kgraph and JAX, and its distance from the caller."""
    frame, distance = sys._getframe(1), 1
    others = (_PACKAGE, "<frozen", *jax_folders())
    while frame is not None and frame.f_code.co_filename.startswith(others):
        frame, distance = frame.f_back, distance + 1
    return frame, distance


def jax_folders() -> tuple[str, ...]:
    """Returns the folders of JAX, if it has been imported."""
    return _folders(*(name for name in ("jax", "jaxlib") if name in sys.modules))


@cache
def _folders(*packages: str) -> tuple[str, ...]:
    files = (sys.modules[name].__file__ or "" for name in packages)
    return tuple(os.path.join(os.path.dirname(file), "") for file in files)


def is_own(file: str) -> bool:
    """Tells whether a file is kgraph's."""
    return file.startswith(_PACKAGE)


def is_installed(file: str) -> bool:
    """Tells whether a file is kgraph's, Python's, or one of an installed package."""
    return file.startswith((_PACKAGE, "<frozen", *_INSTALLED))


def deepest_source(trace: TracebackType | None, library: str) -> Source | None:
    """Returns the user's line deepest in a traceback, or None if it went through none.

    Args:
        trace: the traceback.
        library: a folder whose files are nobody's own, wherever they were installed.
    """
    found, others = None, (_PACKAGE, os.path.join(library, ""), "<frozen", *_INSTALLED)
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not file.startswith(others):
            found = Source(file, trace.tb_lineno)
        trace = trace.tb_next
    return found
