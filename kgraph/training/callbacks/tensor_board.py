"""TensorBoard: logs, weights and the model's table as event files."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

import numpy as np

from kgraph.checks import check_count
from kgraph.errors import ConfigError
from kgraph.layers.base.tree import named_weights
from kgraph.training.callbacks.callback import Callback, Logs
from kgraph.training.callbacks.event_file import EventFile, histogram, scalar, text
from kgraph.training.callbacks.frequency import check_frequency
from kgraph.training.callbacks.optimizer_rate import current_rates
from kgraph.training.job import Meter, begin_profile, meter_of
from kgraph.training.profiling import Profile
from kgraph.writing import local_path


class TensorBoard(Callback):
    """Writes event files for TensorBoard into the folders `train` and `validation`.

    The names are those of Keras: `epoch_loss` and so on for each epoch (from 0), the learning rate
    among them, `batch_loss` and so on for batches (from 1, counted over epochs). Of a training with
    a checkpoint, or on several devices, there are the numbers of `JobMetrics` for each epoch as
    well: `job/step_seconds` and so on.

    Args:
        log_dir: folder of this run.
        histogram_freq: number of epochs between histograms of all weights; 0 for none.
        write_graph: writes the table of `model.summary()`, under Text.
        write_images: False; histograms show weights better.
        write_steps_per_second: adds `epoch_steps_per_second`.
        update_freq: `"epoch"`, `"batch"`, or a number of batches. Other than `"epoch"` it makes the
            loop stop at each batch and fetch its metrics.
        profile_batch: number of the batch of which a trace is written, counted from 1 over the
            epochs of this `fit`; or that of the first and of the last, see `JobMetrics`. 0: none.
        embeddings_freq: 0.
        embeddings_metadata: None.

    Raises:
        ConfigError: an option has a value that it cannot have here.
    """

    state_attributes = ("_batches",)
    _kgraph_frequency = "update_freq"

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: Literal["epoch", "batch"] | int = "epoch",
        profile_batch: int | tuple[int, int] = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: object = None,
    ) -> None:
        check_count("TensorBoard", "histogram_freq", histogram_freq, least=0)
        check_frequency("TensorBoard", "update_freq", update_freq, "batch")
        _refuse("write_images", write_images, "histogram_freq=1 shows how weights are distributed")
        _refuse("embeddings_freq", embeddings_freq, "save the weights by ModelCheckpoint")
        _refuse("embeddings_metadata", embeddings_metadata, None)
        self.log_dir = local_path(log_dir)
        self.profile_batch = profile_batch
        self._profile()  # complains now
        self.histogram_freq, self.write_graph = histogram_freq, write_graph
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self._batches = 0
        self._began = time.perf_counter()
        self._meter = Meter(None)
        self._open()

    def _profile(self) -> Profile | None:
        if not self.profile_batch:
            return None
        return Profile(self.profile_batch, self.log_dir, ("TensorBoard", "profile_batch"))

    def _open(self) -> None:
        self._train = EventFile(Path(self.log_dir) / "train")
        self._validation = EventFile(Path(self.log_dir) / "validation")

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._open()
        self._batches = 0
        self._meter = meter_of(self.model)
        begin_profile(self.model, self._profile())
        if self.write_graph:
            tables: list[str] = []
            self.model.summary(print_fn=tables.append)
            self._train.write(0, [text("model", f"```\n{''.join(tables)}\n```")])

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._batches += 1
        if isinstance(self.update_freq, int) and self._batches % self.update_freq == 0:
            self._train.write(self._batches, _scalars("batch_", logs or {}))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        trained = {key: value for key, value in logs.items() if not key.startswith("val_")}
        trained |= current_rates(self.model)
        if self.write_steps_per_second and (steps := (self.params or {}).get("steps")):
            trained["steps_per_second"] = steps / (time.perf_counter() - self._began)
        values = _scalars("epoch_", trained) + _scalars("job/", self._meter.read())
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            values += [
                histogram(f"{path}/histogram", weight.numpy())
                for path, weight in named_weights(self.model)
            ]
        self._train.write(epoch, values)
        validated = {k.removeprefix("val_"): v for k, v in logs.items() if k.startswith("val_")}
        if validated:
            self._validation.write(epoch, _scalars("epoch_", validated))


def _scalars(prefix: str, logs: Logs) -> list[bytes]:
    """Returns a value for each number of the logs; a metric of several numbers has no curve."""
    return [scalar(prefix + key, value) for key, value in logs.items() if np.ndim(value) == 0]


def _refuse(option: str, value: object, hint: str | None) -> None:
    if value not in (0, None, False):
        raise ConfigError(f"TensorBoard has no {option} here", received=repr(value), hint=hint)
