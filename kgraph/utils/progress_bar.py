"""A progress bar for loops of your own."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from kgraph.config import output
from kgraph.errors import ConfigError
from kgraph.training.console import bar_cell, is_live
from kgraph.training.progress import format_number

Values = Iterable[tuple[str, float]]


class Progbar:
    """Shows how far a loop is, with the averages of its metrics.

    A terminal or notebook gets one line that is redrawn; elsewhere only the last state is written.

    Args:
        target: the number of steps, None if it is not known.
        width: characters of the bar.
        verbose: 0 shows nothing, 1 the bar, 2 one line at the end.
        interval: seconds between two drawings at least.
        stateful_metrics: names of values that are shown as they are; all others are averaged over
            the steps.
        stateless_metrics: names of values that are averaged; all others are shown as they are.
        unit_name: what a step is called.

    Raises:
        ConfigError: both lists of names are given.
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ConfigError("Progbar takes `stateful_metrics` or `stateless_metrics`, not both")
        self.target, self.width, self.verbose = target, width, verbose
        self.interval, self.unit_name = interval, unit_name
        self._averaged = None if stateless_metrics is None else set(stateless_metrics)
        self._shown_as_is = set(stateful_metrics or ())
        self._stream = output()
        self._sums: dict[str, tuple[Any, int]] = {}
        self._seen = 0
        self._start = time.time()
        self._drawn = 0.0
        self._first_step: float | None = None
        self._last_length = 0

    def update(
        self, current: int, values: Values | None = None, finalize: bool | None = None
    ) -> None:
        """Notes that `current` steps are done.

        Args:
            current: steps since the start.
            values: names and the values since the last update, means over its steps.
            finalize: whether this is the end; by default when `target` is reached.
        """
        done = finalize if finalize is not None else self.target is not None and (
            current >= self.target
        )  # fmt: skip
        steps = max(current - self._seen, 1)
        for name, value in values or ():
            if not self._is_averaged(name) or done:
                self._sums[name] = (value, 1)
            else:
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + value * steps, count + steps)
        self._seen = current
        now = time.time()
        per_step = self._per_step(current, now)
        if self.verbose == 1 and (done or now - self._drawn >= self.interval):
            self._show_bar(current, now, per_step, bool(done))
        elif self.verbose == 2 and done and self.target:
            head = f"{self._count(current)} - {now - self._start:.0f}s - {per_step}"
            self._stream.write(f"{head}{self._metrics()}\n")
            self._stream.flush()

    def add(self, n: int, values: Values | None = None) -> None:
        """Notes that n more steps are done; `values` as for `update`."""
        self.update(self._seen + n, values)

    def _is_averaged(self, name: str) -> bool:
        return name not in self._shown_as_is if self._averaged is None else name in self._averaged

    def _per_step(self, current: int, now: float) -> str:
        """Returns the time per step as text; the first step, which compiles, does not count."""
        seconds = 0.0
        if current:
            if self._first_step is not None and current > 1:
                seconds = (now - self._first_step) / (current - 1)
            else:
                seconds = (now - self._start) / current
            if self._first_step is None:
                self._first_step = now
        if seconds >= 1 or seconds == 0:
            return f"{seconds:.0f}s/{self.unit_name}"
        if seconds >= 1e-3:
            return f"{seconds * 1e3:.0f}ms/{self.unit_name}"
        return f"{seconds * 1e6:.0f}us/{self.unit_name}"

    def _count(self, current: int) -> str:
        if not self.target:
            return f"{current:7d}/Unknown"
        return f"{current:{len(str(self.target))}d}/{self.target}"

    def _metrics(self) -> str:
        means = {name: np.mean(total) / max(1, n) for name, (total, n) in self._sums.items()}
        return "".join(f" - {name}: {format_number(mean)}" for name, mean in means.items())

    def _show_bar(self, current: int, now: float, per_step: str, done: bool) -> None:
        live = is_live(self._stream)
        if not (live or done):
            return
        seconds = now - self._start
        if not done and self.target and current:
            seconds = seconds / current * (self.target - current)
        cells = ""
        if self.target:
            filled = min(self.width * current // self.target, self.width)
            cells = " " + (bar_cell(self._stream) * filled).ljust(self.width)
        line = f"{self._count(current)}{cells} {seconds:.0f}s {per_step}{self._metrics()}"
        rest = " " * (self._last_length - len(line))
        self._stream.write(("\r" if live else "") + line + rest + ("\n" if done else ""))
        self._stream.flush()
        self._last_length, self._drawn = len(line), now
