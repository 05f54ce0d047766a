"""OrbaxCheckpoint: weights and training state in a folder of steps, saved in the background."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import jax

from kgraph.errors import StateError
from kgraph.layers.base.core import label_of
from kgraph.layers.base.tree import named_weights
from kgraph.saving.checkpoints import Checkpoint
from kgraph.training.callbacks.callback import Logs
from kgraph.training.callbacks.frequency import check_frequency
from kgraph.training.callbacks.monitor import MonitorCallback
from kgraph.training.console import announce

if TYPE_CHECKING:
    from kgraph.models.model import Model


class OrbaxCheckpoint(MonitorCallback):
    """Saves weights, optimizer state, step and key, after each epoch or so many batches.

    A step is numbered by its epoch (from 0), or by the batches of this training so far. Where the
    folder holds steps already, the numbers go on behind them. `restore` brings a step back into a
    model; a training that goes on by itself is `BackupAndRestore` or `fit(checkpoint=...)`.

    Each step is complete when it is visible, and is verified when it is read (see `Checkpoint`).

    Args:
        directory: the folder; made when first needed.
        monitor: key in the logs that decides what is best.
        verbose: 1 says what is saved.
        save_best_only: saves only what is better than all before. If the logs lack the key,
            nothing is saved (and a warning says so once).
        mode: see `MonitorCallback`.
        save_freq: `"epoch"`, or a number of batches, counted over epochs. With a number the metrics
            of every batch are fetched, and steps are not grouped.
        initial_value_threshold: value to improve on from the start.
        max_to_keep: how many of the latest steps stay; None for all.
        save_on_background: whether training goes on while a step is written.
        save_weights_only: leaves out optimizer state, step and key, and the model's description.

    Raises:
        ConfigError: `save_freq` or `max_to_keep` has a value that it cannot have; or, when training
            begins, the model cannot be written down.
        OSError: a step could not be written; raised at the next save, or when training ends.
    """

    state_attributes = ("best", "_batches", "_unsaved")
    _kgraph_frequency = "save_freq"

    def __init__(
        self,
        directory: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        mode: Literal["auto", "min", "max"] = "auto",
        save_freq: Literal["epoch"] | int = "epoch",
        initial_value_threshold: float | None = None,
        max_to_keep: int | None = 1,
        save_on_background: bool = True,
        save_weights_only: bool = False,
    ) -> None:
        super().__init__(monitor, mode, best=initial_value_threshold)
        check_frequency("OrbaxCheckpoint", "save_freq", save_freq)
        self.checkpoint = Checkpoint(directory, keep=max_to_keep, asynchronous=save_on_background)
        self.verbose, self.save_best_only = verbose, save_best_only
        self.save_freq, self.save_weights_only = save_freq, save_weights_only
        self._batches = self._unsaved = 0
        self._offset = 0
        self._description: str | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if self.save_best_only:
            super().on_train_begin(logs)
        # Now, so that a model which cannot be written down is refused before it is trained.
        self._description = None if self.save_weights_only else self.model.to_json()
        self.checkpoint.open()
        self._batches = self._unsaved = 0
        self._offset = 0

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not isinstance(self.save_freq, int):
            return
        self._batches += 1
        self._unsaved += 1
        if self._unsaved >= self.save_freq:
            self._unsaved = 0
            self._consider(self._batches, logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._consider(epoch, logs or {})

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.checkpoint.close()

    def wait_until_finished(self) -> None:
        """Returns when the last step is on the disk; raises what kept it from being saved."""
        self.checkpoint.wait()

    def restore(self, model: Model, step: int | None = None) -> int:
        """Brings a step back into a model: its weights and, if they were saved, its training state.

        Args:
            model: built as the one that was saved, and compiled likewise.
            step: which; None for the newest.

        Returns:
            the number of the step.

        Raises:
            ModelFileError: there is no such step, it is damaged, or it is of another model.
            StateError: the step has a training state and the model is not compiled.
        """
        meta = self.checkpoint.read_meta(step)
        template: dict[str, Any] = {
            "weights": {
                path: jax.ShapeDtypeStruct(weight.shape, weight.dtype)
                for path, weight in named_weights(model)
            }
        }
        if meta["has_training"]:
            if not model.compiled:
                raise StateError(
                    f"{label_of(model)} must be compiled before a training state is restored",
                    hint="compile it as it was, or save with save_weights_only=True",
                )
            template["training"] = model._kgraph.trainer.abstract_state()
        found, meta = self.checkpoint.restore(step, template)
        for path, weight in named_weights(model):
            weight.assign(found["weights"][path])
        if meta["has_training"]:
            model._kgraph.trainer.restore_state(found["training"])
        return meta["step"]

    def _consider(self, number: int, logs: Logs) -> None:
        """Saves, unless only the best is to be saved and this is not it."""
        if self.save_best_only:
            value = self.monitored(logs)
            if value is None or not self.improves(value, self.best):
                return
            self.best = value
        latest = self.checkpoint.latest() if self.checkpoint.step is None else self.checkpoint.step
        if latest is not None and number + self._offset <= latest:
            self._offset = latest + 1 - number
        self._save(number + self._offset, logs)

    def _save(self, step: int, logs: Logs) -> None:
        training = None if self.save_weights_only else self.model._kgraph.trainer.state()
        weights = {path: weight.value for path, weight in named_weights(self.model)}
        has_training = training is not None
        meta = {"step": step, "has_training": has_training, "model": self._description}
        if self.verbose:
            announce(f"saving step {step} to {self.checkpoint.directory}")
        arrays = {"weights": weights} | ({} if training is None else {"training": training})
        self.checkpoint.save(step, arrays, meta, logs)
