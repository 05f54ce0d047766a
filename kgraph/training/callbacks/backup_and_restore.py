"""BackupAndRestore: a training that can be started again by the same command."""

from __future__ import annotations

import os
from typing import Literal

from kgraph.errors import ConfigError, StateError
from kgraph.saving.checkpoints import Checkpoint
from kgraph.training.callbacks.callback import Callback, Logs
from kgraph.training.callbacks.frequency import check_frequency
from kgraph.types import CallbackLike


class BackupAndRestore(Callback):
    """Has `fit` save the training, and go on from what was saved if it is run again.

    The same as `fit(checkpoint=Checkpoint(backup_dir, ...))`, under Keras' name: a training that
    was killed and is started again ends with the same weights, optimizer state, history and random
    numbers as if it had never been. (Keras restores weights, optimizer and the epoch, and begins
    that epoch anew with other random numbers.)

    Args:
        backup_dir: a folder of its own.
        save_freq: `"epoch"`, or a number of batches. Steps are grouped as without this callback.
        double_checkpoint: whether the two latest states are kept, and the older one is used, with
            a warning, if the newest is damaged.
        delete_checkpoint: whether the backup is removed at the end of the training.

    Raises:
        ConfigError: `backup_dir` is empty, or `save_freq` is neither.
        StateError: when a training begins, if it is not by `fit`, or `fit` has another checkpoint.
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: Literal["epoch"] | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        if not isinstance(backup_dir, (str, os.PathLike)) or not os.fspath(backup_dir):
            raise ConfigError("BackupAndRestore needs a folder", received=repr(backup_dir))
        check_frequency("BackupAndRestore", "save_freq", save_freq)
        self.delete_checkpoint = delete_checkpoint
        self.checkpoint = Checkpoint(
            backup_dir,
            every=None if save_freq == "epoch" else save_freq,
            keep=2 if double_checkpoint else 1,
            fallback=double_checkpoint,
        )

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if not self.checkpoint.is_open:
            raise StateError(
                "BackupAndRestore is not in force",
                expected="fit(callbacks=[BackupAndRestore(...)]) without another checkpoint",
                hint="only fit can go on from a backup; in a loop of your own use a Checkpoint",
            )

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.delete_checkpoint:
            self.checkpoint.clear()

    @staticmethod
    def checkpoint_among(callbacks: CallbackLike | None) -> Checkpoint | None:
        """Returns the checkpoint of the BackupAndRestore among callbacks, nested lists included.

        Raises:
            ConfigError: there are two of them.
        """
        found = list(_backups(callbacks))
        if len(found) > 1:
            raise ConfigError("A training has one BackupAndRestore at most", received=len(found))
        return found[0].checkpoint if found else None


def _backups(callbacks: CallbackLike | None) -> list[BackupAndRestore]:
    if isinstance(callbacks, BackupAndRestore):
        return [callbacks]
    items = (
        callbacks if isinstance(callbacks, (list, tuple)) else getattr(callbacks, "callbacks", ())
    )
    return [backup for item in items for backup in _backups(item)]
