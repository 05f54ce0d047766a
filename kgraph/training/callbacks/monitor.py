"""MonitorCallback: what callbacks that wait for a better value have in common."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np

from kgraph.errors import ConfigError, check_choice, nearest
from kgraph.source import warn
from kgraph.training.callbacks.callback import Callback, Logs

MonitorOp: TypeAlias = Callable[[Any, Any], Any]
"""Tells whether the first number is better than the second."""


class MonitorCallback(Callback):
    """Compares one value of the logs with the best seen.

    A NaN is never the best value. (Keras keeps a NaN in the first epoch as the best, after which
    nothing improves on it and `restore_best_weights` brings the NaN weights back.)

    If an epoch's logs lack the key, a warning lists those there are, once for each training, and
    the epoch is passed over: with `validation_freq` above 1 that is as it should be.

    Args:
        monitor: key in the logs.
        mode: `"min"`, `"max"`, or `"auto"`: the direction of the loss or metric of that name.
        best: value to improve on from the start.
        min_delta: smallest difference that counts.

    Attributes:
        monitor_op: `numpy.less` or `numpy.greater`, known once training has begun. One that is set
            before decides in the place of `mode`.

    Raises:
        ConfigError: `mode` is unknown; or, when training begins, it is `"auto"` and the model has
            no loss or metric of that name, or one without a direction.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: Literal["auto", "min", "max"] = "auto",
        best: float | None = None,
        min_delta: float = 0.0,
    ) -> None:
        check_choice(type(self).__name__, "mode", mode, ("auto", "min", "max"))
        self.monitor, self.mode = monitor, mode
        self.best = best
        self.min_delta = abs(min_delta)
        self.monitor_op: MonitorOp | None = {"min": np.less, "max": np.greater}.get(mode)
        self._warned = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._warned = False
        self._find_op()

    def improves(self, value: float, reference: float | None) -> bool:
        """Tells whether `value` is better than `reference` by more than `min_delta`."""
        if math.isnan(value):
            return False
        if reference is None:
            return True
        op = self._find_op()
        change = -self.min_delta if op is np.less else self.min_delta
        return bool(op(value - change, reference))

    def monitored(self, logs: Logs | None) -> float | None:
        """Returns the monitored value; None, with one warning, if the logs lack it."""
        value = (logs or {}).get(self.monitor)
        if value is None and not self._warned:
            self._warned = True
            warn(self._missing(list(logs or {})))
        return value

    def _missing(self, keys: list[str]) -> str:
        hint = nearest(self.monitor, keys)
        if self.monitor.startswith("val_") and not any(k.startswith("val_") for k in keys):
            hint = "pass validation_data to fit (with validation_freq, some epochs have none)"
        text = f"monitors {self.monitor!r}, which the logs of this epoch lack"
        text = f"{type(self).__name__} {text}; they have {', '.join(keys) or 'nothing'}"
        return text if hint is None else f"{text} ({hint})"

    def _find_op(self) -> MonitorOp:
        if self.monitor_op is not None:
            return self.monitor_op
        key = self.monitor.removeprefix("val_")
        found = "down" if key == "loss" else self.model._kgraph.trainer.direction_of(key)
        if found is None:
            raise ConfigError(
                f"{type(self).__name__} cannot tell whether {self.monitor!r} should rise or fall",
                expected="mode='min' or mode='max'",
                received="mode='auto' and a name without a known direction",
            )
        self.monitor_op = np.less if found == "down" else np.greater
        return self.monitor_op
