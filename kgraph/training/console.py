"""What a stream can show, and the one line of it that is redrawn."""

from __future__ import annotations

import contextlib
import functools
import shutil
import sys
import threading
import weakref
from typing import Any, TextIO

from kgraph.config import output
from kgraph.distribution.coordination import is_leader

BAR_WIDTH = 20

_open_lines: weakref.WeakSet[LiveLine] = weakref.WeakSet()


class LiveLine:
    """A line of a terminal or notebook that is redrawn: count, bar, text.

    Drawn by tqdm, told never to act by itself: no thread, no clock, no widgets.

    Args:
        total: the count at the end, None if unknown.
        stream: where to write; errors of it are raised by each method but `drop`.
    """

    def __init__(self, total: int | None, stream: TextIO) -> None:
        self._stream = stream
        cells = f"{{n_fmt}}/{{total_fmt}} {{bar:{BAR_WIDTH}}} {{desc}}"
        self._bar = _line_class()(
            total=total,
            file=stream,
            ascii=" " + bar_cell(stream),
            ncols=self._columns(),
            nrows=1000,  # given, or tqdm asks the terminal, and draws nothing where that says 0
            # A bar of no width is there because tqdm cuts only lines that have a bar.
            bar_format=cells if total else "{n_fmt}/Unknown {desc}{bar:0}",
            mininterval=0,
            delay=1,  # or it draws itself when made, before it has anything to say
        )
        self._bar.delay = 0  # or `close` takes it for never drawn
        _open_lines.add(self)

    def _columns(self) -> int:
        """Returns the width at which the line is cut; a notebook wraps and redraws lines itself."""
        return shutil.get_terminal_size().columns - 1 if self._stream.isatty() else 1000

    def draw(self, count: int, text: str) -> None:
        """Redraws the line."""
        self._bar.n, self._bar.ncols = count, self._columns()
        self._bar.set_description_str(text, refresh=False)
        self._bar.refresh()

    def clear(self) -> None:
        """Leaves an empty line, until it is drawn again."""
        self._bar.clear()

    def close(self, keep: bool) -> None:
        """Ends the line: with what it shows and a line break, or empty."""
        _open_lines.discard(self)
        self._bar.leave = keep
        self._bar.close()

    def drop(self) -> None:
        """Forgets the line, without touching the stream."""
        _open_lines.discard(self)
        self._bar.disable = True


def announce(text: str) -> None:
    """Prints a line for the user, on a line of its own even where a live line is shown.

    Of several processes the first one prints it.
    """
    if not is_leader():
        return
    with contextlib.suppress(OSError, ValueError):  # as for Progress: never worth a training
        for line in list(_open_lines):
            line.clear()
        print(text, file=output(), flush=True)


def is_live(stream: TextIO) -> bool:
    """Tells whether a carriage return rewrites the line: in terminals, and in notebooks."""
    try:
        if stream.isatty():
            return True
    except (AttributeError, ValueError):  # no proper file, or a closed one
        return False
    ipython = sys.modules.get("IPython")  # never imported here: a notebook has done so
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None and stream is sys.stdout


def bar_cell(stream: TextIO) -> str:
    """Returns the character of a bar: a heavy line where the stream can write it."""
    try:
        "━".encode(getattr(stream, "encoding", None) or "utf-8")
    except (LookupError, UnicodeEncodeError):
        return "="
    return "━"


@functools.cache
def _line_class() -> Any:
    """Returns a tqdm that starts no thread and makes no lock between processes."""
    from tqdm.std import tqdm

    class Line(tqdm):
        monitor_interval = 0

    Line.set_lock(threading.RLock())
    return Line
