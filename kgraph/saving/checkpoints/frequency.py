"""When to save: after epochs, after numbers of steps, or after stretches of time."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from kgraph.checks import is_whole
from kgraph.errors import ConfigError

Every: TypeAlias = int | float | str | timedelta | None
"""None: each epoch. An int: so many steps. A float, text or timedelta: so much time."""

_UNITS = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_TIME = re.compile(rf"(\d+(?:\.\d+)?) ?({'|'.join(_UNITS)})")


@dataclass(frozen=True)
class Frequency:
    """A number of steps, or of seconds; neither stands for the ends of epochs."""

    steps: int | None = None
    seconds: float | None = None

    def due(self, step: int, epoch_end: bool, last_step: int, elapsed: float) -> bool:
        """Tells whether to save.

        Args:
            step: steps done.
            epoch_end: whether an epoch has just ended.
            last_step: steps done at the last save.
            elapsed: seconds since then.
        """
        if step == last_step:
            return False
        if self.steps is not None:  # several steps may pass between two questions
            return step // self.steps != last_step // self.steps
        if self.seconds is not None:
            return elapsed >= self.seconds
        return epoch_end


def parse_every(every: object) -> Frequency:
    """Returns what the option `every` of a Checkpoint means.

    >>> parse_every("10min")
    Frequency(steps=None, seconds=600.0)

    Raises:
        ConfigError: it means nothing.
    """
    if every is None:
        return Frequency()
    if is_whole(every, least=1):
        return Frequency(steps=int(every))
    if isinstance(every, str) and (match := _TIME.fullmatch(every.strip())):
        seconds = float(match[1]) * _UNITS[match[2]]
    elif isinstance(every, timedelta):
        seconds = every.total_seconds()
    else:
        seconds = every if isinstance(every, float) else math.nan
    if not 0 < seconds < math.inf:
        raise ConfigError(
            "Checkpoint does not know this value of `every`",
            expected=[
                "None (each epoch), or a positive number of steps such as 500,",
                'or a time: "10min" (s, min, h, d), timedelta(minutes=10), 600.0 (seconds)',
            ],
            received=repr(every),
        )
    return Frequency(seconds=seconds)
