"""ReduceLROnPlateau: a smaller learning rate when a value no longer improves."""

from __future__ import annotations

from typing import Literal

from kgraph.errors import ConfigError
from kgraph.training.callbacks.callback import Logs
from kgraph.training.callbacks.monitor import MonitorCallback
from kgraph.training.callbacks.optimizer_rate import read_rate
from kgraph.training.console import announce


class ReduceLROnPlateau(MonitorCallback):
    """Multiplies the learning rate by `factor` after `patience` epochs without an improvement.

    Adds `learning_rate` to the logs: the rate with which the epoch was trained. Changing the rate
    compiles nothing anew.

    Args:
        monitor: key in the logs.
        factor: below 1.
        patience: epochs without improvement that are waited for.
        verbose: 1 says what is set.
        mode: see `MonitorCallback`.
        min_delta: smallest change that is an improvement.
        cooldown: epochs after a reduction in which none is counted.
        min_lr: the rate never falls below it.

    Raises:
        ConfigError: `factor` is 1 or more; or the optimizer's rate follows a schedule.
    """

    state_attributes = ("wait", "cooldown_counter", "best")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: Literal["auto", "min", "max"] = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        if not factor < 1.0:
            raise ConfigError(
                "ReduceLROnPlateau needs a factor that reduces",
                expected="factor below 1.0",
                received=factor,
            )
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.wait = self.cooldown_counter = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin(logs)
        read_rate(self, self.model)  # fails now, not at the first plateau
        self.best = None
        self.wait = self.cooldown_counter = 0

    def in_cooldown(self) -> bool:
        """Tells whether a reduction was made less than `cooldown` epochs ago."""
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self.monitored(logs)
        if logs is not None:
            logs["learning_rate"] = read_rate(self, self.model)
        if value is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improves(value, self.best):
            self.best = value
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        rate = read_rate(self, self.model)
        if rate <= self.min_lr:
            return
        lower = max(rate * self.factor, self.min_lr)
        self.model.optimizer.learning_rate = lower
        self.cooldown_counter = self.cooldown
        self.wait = 0
        if self.verbose > 0:
            announce(f"Epoch {epoch + 1}: ReduceLROnPlateau sets learning_rate to {lower:g}")
