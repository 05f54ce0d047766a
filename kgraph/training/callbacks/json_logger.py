"""JSONLogger: the logs as a file with one JSON object a line."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Literal, TypeAlias

from kgraph.distribution.coordination import is_leader
from kgraph.errors import ConfigError
from kgraph.saving.files.atomic import put_in_place
from kgraph.training.callbacks.callback import Callback, Logs
from kgraph.training.callbacks.frequency import check_frequency
from kgraph.training.callbacks.json_line import as_json
from kgraph.training.job import Meter, meter_of
from kgraph.writing import local_path, naming

Place: TypeAlias = tuple[float, float]
"""Epoch and batch of a line; the line of an epoch itself comes after all of its batches."""


class JSONLogger(Callback):
    """Writes each epoch as one line: `{"epoch": 0, "loss": 0.25, "val_loss": 0.5}`.

    Of a training with a checkpoint, or on several devices, a line has an entry `"job"` as well, a
    dict of the numbers that `JobMetrics` describes, since the line of this kind before it.

    Epochs and batches count from 0. A line is on the disk before training goes on. A number that is
    not finite is null.

    A file that is there is gone on with: lines of epochs (and batches) that this training does
    again are dropped, the others stay. So a run that was killed and is started again leaves the
    file of one that was not, without gaps or double lines; from epoch 0 on the file starts anew.
    Of several processes the first one writes.

    Args:
        path: of the file; its folder is made if need be.
        update_freq: `"epoch"`, `"batch"`, or a number of batches after which a line with `"batch"`
            is written as well. Other than `"epoch"` it makes the loop stop at each batch and fetch
            its metrics.

    Raises:
        ConfigError: `update_freq` is none of these; or, when training begins, the file is there and
            is no log of this kind.
    """

    state_attributes = ("_epoch",)
    _kgraph_frequency = "update_freq"

    def __init__(
        self,
        path: str | os.PathLike[str],
        update_freq: Literal["epoch", "batch"] | int = "epoch",
    ) -> None:
        check_frequency("JSONLogger", "update_freq", update_freq, "batch")
        self.path = Path(local_path(path))
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self._epoch = 0
        self._kept: list[tuple[Place, str]] | None = None
        self._of_epochs = self._of_batches = Meter(None)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        if is_leader():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with naming(self.path):
                self._kept = _read(self.path)
        self._of_epochs, self._of_batches = meter_of(self.model), meter_of(self.model)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._cut((self._epoch, batch))
        if isinstance(self.update_freq, int) and (batch + 1) % self.update_freq == 0:
            record = {"epoch": self._epoch, "batch": batch, **(logs or {})}
            self._write(record, self._of_batches)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._cut((epoch, math.inf))
        self._write({"epoch": epoch, **(logs or {})}, self._of_epochs)

    def _cut(self, place: Place) -> None:
        """Drops the lines from the first place of this training on, now that it is known."""
        if self._kept is not None:
            self._rewrite([line for known, line in self._kept if known < place])
            self._kept = None

    def _write(self, record: dict[str, object], meter: Meter) -> None:
        if not is_leader():
            return
        if job := meter.read():
            record["job"] = job
        line = as_json(record) + "\n"
        with naming(self.path, len(line)), open(self.path, "a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def _rewrite(self, lines: list[str]) -> None:
        new = self.path.with_name(self.path.name + ".new")
        text = "".join(line + "\n" for line in lines)
        with naming(self.path, len(text)):
            new.write_text(text, encoding="utf-8")
            put_in_place(new, self.path)


def _read(path: Path) -> list[tuple[Place, str]]:
    """Returns the whole lines of a file and their places; none if there is no file."""
    if not path.exists():
        return []
    *lines, _ = path.read_text(encoding="utf-8").split("\n")  # what follows the last is cut off
    found = []
    for line in lines:
        try:
            record = json.loads(line)
            place = (float(record["epoch"]), float(record.get("batch", math.inf)))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ConfigError(
                f"The file {str(path)!r} is there already and is no log of JSONLogger",
                received=f"the line {line[:60]!r}",
                hint="another path, or take the file away",
            ) from None
        found.append((place, line))
    return found
