"""A model and a loop that only replay logs, so that Keras' callbacks and ours can see the same."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np

DIRECTIONS = {"accuracy": "up", "mae": "down"}


class StandInModel:
    """Has what callbacks use; its one weight is the number of the epoch."""

    def __init__(self, learning_rate: float = 0.5) -> None:
        self.stop_training = False
        schedule = learning_rate if callable(learning_rate) else None
        self.optimizer = SimpleNamespace(learning_rate=learning_rate, _kgraph_schedule=schedule)
        self.history = None
        self.weight = -1.0
        self.saved: list[tuple[str, str]] = []

    def get_weights(self) -> list[np.ndarray]:
        return [np.float32(self.weight)]

    def set_weights(self, weights: list[Any]) -> None:
        self.weight = float(weights[0])

    def save(self, path: str, overwrite: bool = True) -> None:
        self.saved.append(("model", path))

    def save_weights(self, path: str, overwrite: bool = True) -> None:
        self.saved.append(("weights", path))

    @property
    def _kgraph(self) -> SimpleNamespace:
        return SimpleNamespace(trainer=SimpleNamespace(direction_of=self.direction_of))

    def direction_of(self, key: str) -> str | None:
        return DIRECTIONS.get(key)


def replay(callback_list: type, callbacks: list, logs: list[dict], batches: int = 3, **options):
    """Runs an epoch for each dict of logs; returns the model, the epochs run and the rates used."""
    model = StandInModel(**options)
    told = callback_list(callbacks, model=model, verbose=0, epochs=len(logs), steps=batches)
    run, rates = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told.on_train_begin()
        for epoch, of_epoch in enumerate(logs):
            told.on_epoch_begin(epoch)
            model.weight = float(epoch)
            rates.append(model.optimizer.learning_rate)
            for batch in range(batches):
                told.on_train_batch_begin(batch)
                told.on_train_batch_end(batch, dict(of_epoch))
                if model.stop_training:
                    break
            run.append(epoch)
            told.on_epoch_end(epoch, dict(of_epoch))
            if model.stop_training:
                break
        told.on_train_end()
    return model, run, rates
