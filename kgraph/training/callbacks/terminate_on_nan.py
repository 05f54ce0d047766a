"""TerminateOnNaN: ends training when the loss is no longer finite."""

from __future__ import annotations

import math

from kgraph.errors import StateError
from kgraph.training.callbacks.callback import Callback, Logs
from kgraph.training.console import announce


class TerminateOnNaN(Callback):
    """Stops training at the first batch after which the loss is NaN or infinite.

    It reads the loss of every batch, so steps are not grouped while it is used.

    Args:
        raise_error: raises instead of stopping in order; `on_train_end` is then not called.

    Raises:
        StateError: with `raise_error`, when the loss is not finite.
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise StateError(f"The loss is {loss} after batch {batch}")
        announce(f"Batch {batch}: the loss is {loss}, training ends")
        self.model.stop_training = True
