"""EarlyStopping: ends training when a value no longer improves."""

from __future__ import annotations

from typing import Any, Literal

from kgraph.training.callbacks.callback import Logs
from kgraph.training.callbacks.monitor import MonitorCallback
from kgraph.training.console import announce


class EarlyStopping(MonitorCallback):
    """Stops training after `patience` epochs without an improvement.

    Args:
        monitor: key in the logs.
        min_delta: smallest change that is an improvement.
        patience: epochs without improvement that are waited for. The first epoch never stops.
        verbose: 1 says when it stops and which epoch it goes back to.
        mode: see `MonitorCallback`.
        baseline: value that has to be beaten as well before patience starts anew.
        restore_best_weights: goes back to the weights of the best epoch when training ends, whether
            or not it was stopped and whatever the baseline.
        start_from_epoch: epochs before this index are passed over.
    """

    state_attributes = ("wait", "stopped_epoch", "best_epoch", "best", "best_weights")

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: Literal["auto", "min", "max"] = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience, self.verbose, self.baseline = patience, verbose, baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._reset()

    def _reset(self) -> None:
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = None
        self.best_weights: list[Any] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self.monitored(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self.improves(value, self.best):
            self.best = value
            self._keep(epoch)
            if self.baseline is None or self.improves(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _keep(self, epoch: int) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = self.model.get_weights()

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch > 0 and self.verbose > 0:
            announce(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose > 0:
                announce(f"Restoring the weights of the best epoch, {self.best_epoch + 1}")
            self.model.set_weights(self.best_weights)
