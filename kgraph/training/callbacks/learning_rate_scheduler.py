"""LearningRateScheduler: a learning rate for each epoch, from a function."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from kgraph.errors import ConfigError
from kgraph.training.callbacks.callback import Callback, Logs
from kgraph.training.callbacks.optimizer_rate import read_rate
from kgraph.training.console import announce


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch, and adds `learning_rate` to the logs.

    Args:
        schedule: function of the epoch's index, or of that and the rate so far; returns the rate.
        verbose: 1 says what is set.

    Raises:
        ConfigError: `schedule` returns no number; or the optimizer has a schedule of its own.

    >>> halved = LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate)
    """

    def __init__(self, schedule: Callable[..., Any], verbose: int = 0) -> None:
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        rate = read_rate(self, self.model)
        asked = self.schedule(epoch, rate) if _takes_rate(self.schedule) else self.schedule(epoch)
        self.model.optimizer.learning_rate = number = _as_rate(asked)
        if self.verbose > 0:
            announce(f"Epoch {epoch + 1}: LearningRateScheduler sets learning_rate to {number:g}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = read_rate(self, self.model)


def _takes_rate(schedule: Callable[..., Any]) -> bool:
    """Tells, without calling it, whether the function takes two arguments."""
    try:
        inspect.signature(schedule).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:  # some functions written in C have no signature
        return True
    return True


def _as_rate(asked: Any) -> float:
    try:
        number = math.nan if isinstance(asked, (bool, str)) else float(asked)
    except (TypeError, ValueError):
        number = math.nan
    if math.isnan(number):
        raise ConfigError(
            "The function of LearningRateScheduler has to return a number",
            received=f"{asked!r} ({type(asked).__name__})",
        )
    return number
