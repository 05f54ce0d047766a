"""Where the user wrote a call: the nearest line outside kgraph."""

from __future__ import annotations

import linecache
import os
import re
import sys
from dataclasses import dataclass

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


@dataclass(frozen=True, slots=True)
class Source:
    """A line of the user's code."""

    file: str
    line: int

    def __str__(self) -> str:
        code = linecache.getline(self.file, self.line).strip()
        place = f"{_short(self.file)}:{self.line}"
        return f"{place}  {code}" if code else place


def _short(file: str) -> str:
    """Returns a file as the user knows it: a notebook cell, or a path from where they are."""
    if re.search(r"ipykernel_\d+|<ipython-input", file):
        return "<cell>"
    relative = os.path.relpath(file) if os.path.isabs(file) else file
    return relative if not relative.startswith("..") else file


def user_source() -> Source | None:
    """Returns the line of the innermost frame that is not inside kgraph."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_PACKAGE) and not file.startswith("<frozen"):
            return Source(file, frame.f_lineno)
        frame = frame.f_back
    return None
