"""What a stream can show, and the one line of it that is redrawn."""

from __future__ import annotations

import contextlib
import functools
import logging
import shutil
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

from kgraph.config import output
from kgraph.distribution.coordination import is_leader

BAR_WIDTH = 20


class LiveLine:
    """A line of a terminal that is redrawn: count, bar, text.

    Drawn by tqdm, so it stands below the bars of loops around it and beside those of other
    threads; told never to act by itself: no thread, no clock, no widgets. While it is shown, whole
    lines that others print or log come out above it.

    Args:
        total: the count at the end, None if unknown.
        stream: where to write; errors of it are raised by each method but `drop`.
    """

    def __init__(self, total: int | None, stream: TextIO) -> None:
        self._stream = below(stream)
        cells = f"{{n_fmt}}/{{total_fmt}} {{bar:{BAR_WIDTH}}} {{desc}}"
        self._bar = _line_class()(
            total=total,
            file=self._stream,
            ascii=" " + bar_cell(stream),
            ncols=_columns(),
            nrows=1000,  # given, or tqdm asks the terminal, and draws nothing where that says 0
            # A bar of no width is there because tqdm cuts only lines that have a bar.
            bar_format=cells if total else "{n_fmt}/Unknown {desc}{bar:0}",
            mininterval=0,
            leave=False,
            delay=1,  # or it draws itself when made, before it has anything to say
        )
        self._bar.delay = 0  # or `close` takes it for never drawn
        _others.redirect(self._stream)

    def draw(self, count: int, text: str) -> None:
        """Redraws the line."""
        self._bar.n, self._bar.ncols = count, _columns()
        self._bar.set_description_str(text, refresh=False)
        self._bar.refresh()

    def close(self, last: str | None = None) -> None:
        """Ends the line, and leaves a last one above all that is live: by default what it shows."""
        last = str(self._bar).rstrip() if last is None else last
        try:
            self._bar.close()
            put_line(last, self._stream)
        finally:
            _others.give_back(self._stream)

    def drop(self) -> None:
        """Forgets the line, without touching the stream."""
        self._bar.disable = True
        _others.give_back(self._stream)


class CellLine:
    """The same in the output of a notebook's cell, as an output that is replaced.

    So a notebook that is saved or converted has the last state alone, where carriage returns would
    leave every one. What others print comes below.
    """

    def __init__(self, total: int | None, stream: TextIO) -> None:
        self._total, self._cell = total, bar_cell(stream)
        self._handle: Any = None
        self._shown = ""

    def draw(self, count: int, text: str) -> None:
        """Shows another state."""
        if self._total:
            text = f"{self._cell * (BAR_WIDTH * count // self._total):{BAR_WIDTH}} {text}"
        self._show(f"{count}/{self._total or 'Unknown'} {text}")

    def close(self, last: str | None = None) -> None:
        """Shows the last state: by default the one before."""
        self._show(self._shown if last is None else last)

    def drop(self) -> None:
        """Forgets the line."""

    def _show(self, text: str) -> None:
        from IPython.display import display

        self._shown, data = text, {"text/plain": text}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


class _Beside:
    """A stream on which a live line is shown: whole lines that are written come out above it.

    Text without a line break waits for it. What moves the cursor, as tqdm's bars do, goes through.
    """

    def __init__(self, stream: TextIO) -> None:
        self._wrapped, self._begun = stream, ""  # the first by tqdm's name for it

    def write(self, text: str) -> int:
        if text.startswith(("\r", "\x1b")) or not (self._begun or text.strip("\n")):
            return self._wrapped.write(text)
        with _line_class().get_lock():
            whole, end, self._begun = (self._begun + text).rpartition("\n")
            if end:
                put_line(whole, self._wrapped)
        return len(text)

    def end(self) -> None:
        """Writes what has no line break yet."""
        self._wrapped.write(self._begun)
        self._begun = ""

    def __eq__(self, other: object) -> bool:
        return self._wrapped == getattr(other, "_wrapped", other)

    def __hash__(self) -> int:
        return hash(self._wrapped)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


class _Others:
    """Sends what others write to stdout and stderr past the live lines, while there are any."""

    def __init__(self) -> None:
        self._lock, self._lines = threading.RLock(), 0
        self._streams: dict[str, _Beside] = {}

    def redirect(self, stream: TextIO) -> None:
        """Comes when a line begins on a stream."""
        with self._lock:
            if stream not in (sys.stdout, sys.stderr) or _is_cell(stream):
                return
            self._lines += 1
            if self._lines == 1:
                for name in ("stdout", "stderr"):
                    self._streams[name] = _Beside(getattr(sys, name))
                    setattr(sys, name, self._streams[name])
                for beside in self._streams.values():
                    _hand_over(beside._wrapped, beside)

    def give_back(self, stream: TextIO) -> None:
        """Comes when a line ends."""
        with self._lock:
            if stream not in (beside._wrapped for beside in self._streams.values()):
                return
            self._lines -= 1
            if not self._lines:
                for name, beside in self._streams.items():
                    if getattr(sys, name) is beside:
                        setattr(sys, name, beside._wrapped)
                    _hand_over(beside, beside._wrapped)
                    with contextlib.suppress(OSError, ValueError):
                        beside.end()
                self._streams = {}


_others = _Others()


def _hand_over(given: Any, taken: Any) -> None:
    """Lets the handlers of `logging` that write to one stream write to another."""
    loggers = [logging.root, *logging.Logger.manager.loggerDict.values()]
    for handler in (h for logger in loggers for h in getattr(logger, "handlers", ())):
        if isinstance(handler, logging.StreamHandler) and handler.stream is given:
            handler.setStream(taken)


@contextlib.contextmanager
def kept_apart(stream: TextIO) -> Iterator[None]:
    """Lets whole lines that others print come out above live lines, and bars of tqdm around them.

    Also between two of our lines, where a loop's own bar is the last line of a terminal.
    """
    stream = below(stream)
    _others.redirect(stream)
    try:
        yield
    finally:
        _others.give_back(stream)


def below(stream: TextIO) -> Any:
    """Returns the stream itself, where others are kept off its live line."""
    return stream._wrapped if isinstance(stream, _Beside) else stream


def put_line(text: str, stream: TextIO) -> None:
    """Writes a line above what is redrawn on the stream: our lines, and bars of tqdm."""
    if "tqdm" in sys.modules:
        _line_class().write(text, file=below(stream))
    else:
        stream.write(text + "\n")
    stream.flush()


def announce(text: str) -> None:
    """Prints a line for the user, on a line of its own even where a live line is shown.

    Of several processes the first one prints it.
    """
    if is_leader():
        with contextlib.suppress(OSError, ValueError):  # as for Progress: never worth a training
            put_line(text, output())


def live_line(total: int | None, stream: TextIO) -> LiveLine | CellLine:
    """Returns a line that is redrawn, for a stream that is live."""
    return (CellLine if _is_cell(stream) else LiveLine)(total, stream)


def is_live(stream: TextIO) -> bool:
    """Tells whether a line can be redrawn: in terminals, and in notebooks."""
    try:
        return stream.isatty() or _is_cell(stream)
    except (AttributeError, ValueError):  # no proper file, or a closed one
        return False


def _is_cell(stream: TextIO) -> bool:
    ipython = sys.modules.get("IPython")  # never imported here: a notebook has done so
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None and stream is sys.stdout


def _columns() -> int:
    """Returns the width at which a live line is cut."""
    return shutil.get_terminal_size().columns - 1


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

    Line.set_lock(getattr(tqdm, "_lock", None) or threading.RLock())  # that of bars there are
    return Line
