"""ProgbarLogger: the display of `fit` as a callback, for loops written by hand."""

from __future__ import annotations

from typing import Any

from kgraph.training.callbacks.callback import Callback, Logs, Mode, Outputs
from kgraph.training.progress import Progress


class ProgbarLogger(Callback):
    """Shows a Progress. `fit`, `evaluate` and `predict` have one of their own.

    It reads `verbose`, `epochs` and `steps` of the params. It takes the numbers of a batch if they
    come, and does not ask for them.
    """

    def __init__(self) -> None:
        self._progress = Progress(0)
        self._in_fit = False

    def wants_batches(self, mode: Mode) -> bool:
        return type(self) is not ProgbarLogger and super().wants_batches(mode)

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params(params)
        verbose = params.get("verbose", "auto")
        self._progress = Progress(verbose, params.get("epochs") or 1, params.get("steps"))

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._in_fit = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._in_fit = False
        self._progress.close()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._progress.epoch_begin(epoch)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._progress.update(batch + 1, lambda: logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._progress.epoch_end(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._progress.epoch_begin()

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._progress.update(batch + 1, lambda: logs or {})

    def on_test_end(self, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._progress.epoch_end(logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._progress.epoch_begin()

    def on_predict_batch_end(self, batch: int, logs: Outputs | None = None) -> None:
        self._progress.update(batch + 1, dict)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._progress.epoch_end()
