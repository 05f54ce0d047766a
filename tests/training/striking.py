"""Signals at chosen lines: for tests of what an interrupt finds half done, and leaves so."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

_TESTS = __file__.rpartition("/training/")[0]


class Strikes:
    """Sends this process signals at lines that its main thread executes, each at its number.

    Lines of tests do not count; those of kgraph, of Python's own modules and of JAX do.

    Args:
        plan: which signal comes at which line, counted from `begin`.

    Attributes:
        lines: how many lines there have been.
    """

    def __init__(self, plan: Mapping[int, int]) -> None:
        self._plan, self.lines, self.sent = dict(plan), 0, 0
        self._before: Any = None

    def begin(self) -> None:
        """Counts from here on, in all functions that are running as well."""
        self._before = sys.gettrace()
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if not frame.f_code.co_filename.startswith(_TESTS):
                frame.f_trace = self._trace
            if frame.f_code.co_name.startswith("test_"):
                break
            frame = frame.f_back
        sys.setprofile(self._again)
        sys.settrace(self._trace)

    def end(self) -> None:
        """Sends no more."""
        sys.settrace(self._before)
        sys.setprofile(None)

    def _trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename.startswith(_TESTS):
            return None
        if event == "line":
            number = self._plan.get(self.lines)
            self.lines += 1
            if number is not None:
                self.sent += 1
                signal.raise_signal(number)
        return self._trace

    def _again(self, frame: FrameType, event: str, arg: Any) -> None:
        """Python stops tracing when a trace function raises, as it does where a signal arrives."""
        if sys.gettrace() is None and not frame.f_code.co_filename.startswith(_TESTS):
            frame.f_trace = self._trace
            sys.settrace(self._trace)
