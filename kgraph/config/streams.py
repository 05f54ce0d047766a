"""Where text for the user goes."""

from __future__ import annotations

import logging
import sys
from typing import Any

from kgraph.config.settings import _settings


def enable_interactive_logging() -> None:
    """Lets progress, summaries and notes go to standard output, which they do by default."""
    _settings.interactive_logging = True


def disable_interactive_logging() -> None:
    """Sends progress, summaries and notes to the logger `kgraph` (level INFO), line by line."""
    _settings.interactive_logging = False


def is_interactive_logging_enabled() -> bool:
    """Tells whether progress, summaries and notes go to standard output."""
    return _settings.interactive_logging


class _Log:
    """A stream whose lines go to the logger `kgraph`."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self._rest = ""

    def write(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            logging.getLogger("kgraph").info(line)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


def output() -> Any:
    """Returns the stream that text for the user is written to."""
    return sys.stdout if _settings.interactive_logging else _Log()
