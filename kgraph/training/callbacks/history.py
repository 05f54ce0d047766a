"""History: what `fit` returns."""

from __future__ import annotations

import os
from typing import Any

from kgraph.errors import StateError
from kgraph.tables import Table, Tabular
from kgraph.training.callbacks.callback import Callback, Logs
from kgraph.training.progress import format_number
from kgraph.visualization.figures import finished, pyplot

_ROWS_SHOWN = 10


class History(Tabular, Callback):
    """Keeps the logs of each epoch.

    Attributes:
        history: dict of lists, one value for each epoch that logged the key.
        epoch: indices of the epochs of the last training.

    A History that is passed to `fit` again goes on with its lists; `epoch` starts anew.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []
        self._records: list[tuple[int, Logs]] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        self._records.append((epoch, dict(logs or {})))
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)
        if self.model is not None:
            self.model.history = self

    def get_state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "records": [[e, logs] for e, logs in self._records]}

    def set_state(self, state: dict[str, Any]) -> None:
        self.epoch = list(state["epoch"])
        self._records = [(epoch, logs) for epoch, logs in state["records"]]
        self.history = {}
        for _, logs in self._records:
            for key, value in logs.items():
                self.history.setdefault(key, []).append(value)

    def to_dict(self) -> dict[str, list[Any]]:
        """Returns the columns of a table: `epoch` and each key, None where an epoch lacks the key.

        Unlike the lists in `history` they all have the same length, whatever `validation_freq` was.
        """
        columns: dict[str, list[Any]] = {"epoch": [epoch for epoch, _ in self._records]}
        for key in self.history:
            columns[key] = [logs.get(key) for _, logs in self._records]
        return columns

    def _kgraph_table(self) -> Table:
        count = len(self._records)
        title = f"History of {count} epoch{'' if count == 1 else 's'}"
        records: list[tuple[int, Logs] | None] = list(self._records)
        if count > _ROWS_SHOWN:
            half = _ROWS_SHOWN // 2
            records = [*records[:half], None, *records[-half:]]
        rows = [["epoch", *self.history], *(self._cells(record) for record in records)]
        return Table(title, rows if count else [], range(len(rows[0])))

    def _cells(self, record: tuple[int, Logs] | None) -> list[str]:
        if record is None:
            return ["...", *("" for _ in self.history)]
        epoch, logs = record
        values = [format_number(logs[k]) if k in logs else "" for k in self.history]
        return [str(epoch + 1), *values]

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draws the curves with matplotlib, each key together with its `val_` key.

        Args:
            path: where to write the drawing as well, if at all.

        Returns:
            the matplotlib Figure; a notebook shows it when it is the value of a cell.

        Raises:
            StateError: there is no epoch to draw.
            ConfigError: matplotlib is not installed.
            OSError: the file cannot be written; names the path and the bytes.
        """
        if not self._records:
            raise StateError("The history has no epoch to draw", hint="fit the model first")
        panels = list(dict.fromkeys(key.removeprefix("val_") for key in self.history))
        figure, axes = pyplot().subplots(
            1, len(panels), squeeze=False, figsize=(4 * len(panels), 3), layout="constrained"
        )
        for axis, key in zip(axes[0], panels):
            self._draw(axis, key)
        return finished(figure, path)

    def _draw(self, axis: Any, key: str) -> None:
        for name, label in ((key, "training"), (f"val_{key}", "validation")):
            points = [(e + 1, logs[name]) for e, logs in self._records if name in logs]
            if points:
                axis.plot(*zip(*points), marker=".", label=label)
        axis.set(title=key, xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)  # there is no epoch 1.5
        axis.legend()
