"""ModelCheckpoint: the model or its weights as files, while training goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from kgraph.declared import is_own
from kgraph.errors import ConfigError, nearest
from kgraph.saving.files.atomic import check_writable
from kgraph.saving.paths import check_suffix
from kgraph.saving.save import check_savable
from kgraph.training.callbacks.callback import Logs
from kgraph.training.callbacks.frequency import check_frequency
from kgraph.training.callbacks.monitor import MonitorCallback
from kgraph.training.console import announce
from kgraph.writing import local_path


class ModelCheckpoint(MonitorCallback):
    """Saves after each epoch, or after every so many batches.

    Args:
        filepath: where to; `{epoch:02d}` (from 1), `{batch}` (from 1, when batches are counted) and
            the keys of the logs, as in `{val_loss:.2f}`, are filled in. Folders are made.
        monitor: key in the logs that decides what is best.
        verbose: 1 says what is saved, and why not.
        save_best_only: saves only what is better than all before, those of earlier trainings with
            this callback included. If the logs lack the key, it saves (and warns once).
        save_weights_only: calls `model.save_weights` and not `model.save`.
        mode: see `MonitorCallback`.
        save_freq: `"epoch"`, or a number of batches, counted over epochs. With a number the metrics
            of every batch are fetched, and steps are not grouped.
        initial_value_threshold: value to improve on from the start.

    Raises:
        ConfigError: `filepath` does not end as such a file does, or has a field that neither the
            logs nor the counters fill; or `save_freq` is neither.
        OSError: the folder cannot be written to; raised before the first step.
    """

    state_attributes = ("best", "_epoch", "_unsaved_batches", "_last_batch")
    _kgraph_frequency = "save_freq"

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: Literal["auto", "min", "max"] = "auto",
        save_freq: Literal["epoch"] | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, best=initial_value_threshold)
        self.filepath = local_path(filepath)
        self.verbose = verbose
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.save_freq = save_freq
        check_frequency("ModelCheckpoint", "save_freq", save_freq)
        what = "weights" if save_weights_only else "model"
        check_suffix(self.filepath, what)  # now, not after the first epoch
        self._epoch = 0
        self._unsaved_batches = 0
        self._last_batch: int | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        check_writable(Path(self.filepath.partition("{")[0] + "_").parent)  # now: see above
        if not self.save_weights_only and is_own(type(self.model).save):  # likewise
            check_savable(self.model, self.filepath)
        if self.save_best_only:
            super().on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not isinstance(self.save_freq, int):
            return
        new_epoch = self._last_batch is None or batch <= self._last_batch
        self._unsaved_batches += batch + 1 if new_epoch else batch - (self._last_batch or 0)
        self._last_batch = batch
        if self._unsaved_batches >= self.save_freq:
            self._unsaved_batches = 0
            self._consider({"epoch": self._epoch + 1, "batch": batch + 1}, logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._consider({"epoch": epoch + 1}, logs or {})

    def _consider(self, counters: dict[str, int], logs: Logs) -> None:
        """Saves, unless only the best is to be saved and this is not it."""
        start = f"Epoch {counters['epoch']}:"
        value = self.monitored(logs) if self.save_best_only else None
        reason = ""
        if value is not None:
            if not self.improves(value, self.best):
                self._say(f"{start} {self.monitor} did not improve from {_short(self.best)}")
                return
            reason = f"{self.monitor} improved from {_short(self.best)} to {_short(value)}, "
            self.best = value
        path = self._path({**counters, **logs})
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._say(f"{start} {reason}saving to {path}")
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path)

    def _path(self, fields: dict[str, object]) -> str:
        try:
            return self.filepath.format(**fields)
        except (KeyError, IndexError, ValueError) as error:
            name = error.args[0] if isinstance(error, KeyError) else None
            raise ConfigError(
                f"ModelCheckpoint cannot fill in the file name {self.filepath!r}",
                expected=f"fields among {', '.join(fields)}",
                received=repr(name) if name else str(error),
                hint=nearest(name, fields) if name else None,
            ) from error

    def _say(self, text: str) -> None:
        if self.verbose > 0:
            announce(text)


def _short(value: float | None) -> str:
    return "None" if value is None else f"{value:.5f}"
