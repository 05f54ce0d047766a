"""CSVLogger: the logs of each epoch as a row of a file."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from kgraph.distribution.coordination import is_leader
from kgraph.training.callbacks.callback import Callback, Logs
from kgraph.writing import local_path, naming


class CSVLogger(Callback):
    """Writes a header and then one row per epoch. The file is open only while a row is written.

    Of several processes the first one writes.

    The columns are `epoch` (from 0) and the sorted keys of the first epoch. If these have no
    validation, a `val_` column for each is there as well, for epochs that bring one. What an epoch
    does not have is NA. With the first row a file that is there is replaced, or cut to what it was
    when the checkpoint was written that this training goes on from: no row is lost or doubled.

    Args:
        filename: path of the file; its folder is made if need be.
        separator: character between columns.
        append: goes on with an existing file, without a second header.
    """

    state_attributes = ("keys", "_size")

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        self.filename, self.sep, self.append = local_path(filename), separator, append
        self.keys: list[str] | None = None
        self._size: int | None = None
        self._first = True

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.keys, self._first = None, True
        self._size = None if self.append else 0
        if is_leader():
            Path(self.filename).parent.mkdir(parents=True, exist_ok=True)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        if not is_leader():
            return
        needed = sum(len(f"{value},") for value in (epoch, *logs.values()))
        with (
            naming(self.filename, needed),
            open(self.filename, "a", newline="", encoding="utf-8") as file,
        ):
            if self._first and self._size is not None:
                file.truncate(min(self._size, file.tell()))
                file.seek(0, os.SEEK_END)
            self._first = False
            writer = csv.writer(file, delimiter=self.sep)
            if self.keys is None:
                self.keys = _columns(logs)
                if file.tell() == 0:
                    writer.writerow(["epoch", *self.keys])
            writer.writerow([epoch, *(logs.get(key, "NA") for key in self.keys)])
            self._size = file.tell()


def _columns(logs: Logs) -> list[str]:
    keys = sorted(logs)
    if any(key.startswith("val_") for key in keys):
        return keys
    return [*keys, *(f"val_{key}" for key in keys)]
