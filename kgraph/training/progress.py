"""What fit, evaluate and predict print while they run: a live line, or one plain line per epoch."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TextIO, TypeAlias

import jax

from kgraph.config import output
from kgraph.errors import check_choice
from kgraph.training.console import (
    BAR_WIDTH,
    CellLine,
    LiveLine,
    bar_cell,
    is_live,
    kept_apart,
    live_line,
    put_line,
)

Logs: TypeAlias = Mapping[str, float]
Verbosity: TypeAlias = Literal["auto", 0, 1, 2] | bool

REFRESH_SECONDS = 0.5
"""Shortest time between two drawings, so also between two reads of metrics from the device."""


class Progress:
    """Shows how far a loop over batches is.

    A terminal or notebook gets a live line, redrawn at most twice a second, of which one final line
    per epoch stays. Anything else gets whole lines only: no carriage return ever reaches a file.
    A stream that fails (a closed pipe, say) ends the display, never the training. Of several
    processes that train together the first one shows it.

    As a context manager it leaves the cursor at the start of a line, however the block ends.

    Args:
        verbose: 0 shows nothing, 1 a bar, 2 one line per epoch; `"auto"` is 1 where a live line can
            be shown and 2 elsewhere.
        epochs: index at which training ends; above 1 each epoch gets a header.
        steps: batches per epoch, None if unknown.
        each: how many of the user's batches are done at once where one is told of.
        stream: where to write; `config.output()` by default.
        clock: returns seconds; for tests.

    Raises:
        ConfigError: `verbose` is none of these.
    """

    def __init__(
        self,
        verbose: Verbosity = "auto",
        epochs: int = 1,
        steps: int | None = None,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        each: int = 1,
    ) -> None:
        check_choice("Progress", "verbose", verbose, ("auto", 0, 1, 2))
        self.epochs, self.steps, self._each = epochs, steps, each
        self._stream: Any = output() if stream is None else stream
        self._display = _display_for(verbose, self._stream)
        self._clock = clock
        self._line: LiveLine | CellLine | None = None
        self._within = contextlib.ExitStack()
        self._start_epoch()

    def __enter__(self) -> Progress:
        if self._display == "bar":
            self._within.enter_context(kept_apart(self._stream))
        return self

    def __exit__(self, *error: object) -> None:
        with self._within:
            self.close()

    def epoch_begin(self, epoch: int = 0) -> None:
        """Starts the clock of an epoch, counted from 0; prints a header if there are several."""
        self._start_epoch()
        if self.epochs > 1:
            self._print(f"Epoch {epoch + 1}/{self.epochs}")

    def update(self, step: int, logs: Callable[[], Logs]) -> None:
        """Notes that `step` batches of the epoch are done; cheap enough to call after each.

        `logs` is called only when the live line is redrawn.
        """
        step = step * self._each if self.steps is None else min(step * self._each, self.steps)
        if self._display == "silent" or step == self._seen:
            return
        self._seen = step
        now = self._last = self._clock()
        if self._first is None:
            self._first = (step, now)  # the first step is not counted at all
        else:
            self._skipped += self._to_skip
        self._to_skip = 0.0
        if self._display == "bar" and now - self._drawn >= REFRESH_SECONDS:
            self._logs = logs()
            self._draw()

    def skip(self, seconds: float) -> None:
        """Leaves time out of the time per step: a compilation, say."""
        self._to_skip += seconds  # once there are steps after it

    def note(self, text: str, replaces: str | None = None) -> None:
        """Adds a remark to the line of this epoch; a live line shows it at once.

        Args:
            text: the remark.
            replaces: an earlier one, in whose place it comes.
        """
        self._notes = [note for note in self._notes if note != replaces]
        self._notes.append(text)
        if self._display == "bar":
            self._draw()

    def epoch_end(self, logs: Logs | None = None) -> None:
        """Prints the line of this epoch that stays."""
        if self._display == "silent":
            return
        self._seen = done = self._seen or self.steps or 0
        total = self.steps or done
        seconds = self._step_seconds()
        if seconds is None:  # there is but one
            seconds = (self._last - self._start) / done if done else 0.0
        per_step = _per_step(seconds)
        elapsed = f"{self._clock() - self._start:.0f}s"
        if self._display == "lines":
            head = f"{_count(done, total)} - {elapsed} - {per_step}"
        else:
            cells = BAR_WIDTH * min(done, total) // max(total, 1) * bar_cell(self._stream)
            head = f"{_count(done, total)} {cells:{BAR_WIDTH}} {elapsed} {per_step}"
        self._close_line(head + self._tail(logs or {}))

    def close(self) -> None:
        """Ends a live line that is still open, with how far it came. Can be called twice."""
        if self._line is not None:
            self._draw()
            self._close_line()

    def _start_epoch(self) -> None:
        self._start = self._drawn = self._last = self._clock()
        self._skipped = self._to_skip = 0.0
        self._first: tuple[int, float] | None = None
        self._seen = 0
        self._notes: list[str] = []
        self._logs: Logs = {}

    def _step_seconds(self) -> float | None:
        """Returns the time per step without the first steps, which compile; None before others."""
        step, moment = self._first or (self._seen, self._start)
        if self._seen <= step:
            return None
        return max(self._last - moment - self._skipped, 0.0) / (self._seen - step)

    def _tail(self, logs: Logs) -> str:
        numbers = "".join(f" - {key}: {format_number(value)}" for key, value in logs.items())
        return numbers + (f" ({', '.join(self._notes)})" if self._notes else "")

    def _draw(self) -> None:
        seconds, cells = self._step_seconds(), []
        if not self.steps:
            cells.append(f"{self._clock() - self._start:.0f}s")
        elif seconds is not None:
            cells.append(_remaining(seconds * max(self.steps - self._seen, 0)))
        if seconds is not None:
            cells.append(_per_step(seconds))
        with self._tolerant():
            self._line = self._line or live_line(self.steps or None, self._stream)
            self._line.draw(self._seen, (" ".join(cells) + self._tail(self._logs)).lstrip())
        self._drawn = self._clock()

    def _close_line(self, last: str | None = None) -> None:
        if self._line is not None:
            with self._tolerant():
                self._line.close(last)
            self._line = None
        elif last is not None:
            self._print(last)

    def _print(self, text: str) -> None:
        if self._display != "silent":
            with self._tolerant():
                put_line(text, self._stream)

    @contextlib.contextmanager
    def _tolerant(self) -> Iterator[None]:
        """Falls silent for good when the stream fails."""
        try:
            yield
        except (OSError, ValueError):  # a broken pipe, a closed file, an encoding too small
            self._display = "silent"
            if self._line is not None:
                self._line.drop()
                self._line = None


def format_number(value: Any) -> str:
    """Returns a metric's value as it is shown: 4 decimals, scientific for the small.

    >>> [format_number(v) for v in (0.34301, 12.0, 0.0005, -0.5)]
    ['0.3430', '12.0000', '5.0000e-04', '-0.5000']
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return f"{number:.4e}" if abs(number) <= 1e-3 else f"{number:.4f}"


def _display_for(verbose: Verbosity, stream: Any) -> Literal["silent", "bar", "static", "lines"]:
    if verbose == 0 or stream is None or jax.process_index() > 0:
        return "silent"
    if verbose == 2:
        return "lines"
    if is_live(stream):
        return "bar"
    return "lines" if verbose == "auto" else "static"


def _count(done: int, total: int) -> str:
    return f"{done:{len(str(total))}d}/{total}"


def _per_step(seconds: float) -> str:
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s/step"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f}ms/step"
    return f"{seconds * 1e6:.0f}us/step"


def _remaining(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}" if minutes else f"{rest}s"
