"""The loops: fit, evaluate and predict over batches."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterable
from typing import Any

import numpy as np

from kgraph.training.callbacks import CallbackList
from kgraph.training.engine import Engine
from kgraph.training.progress import Progress
from kgraph.training.step import Batch
from kgraph.types import Array

Logs = dict[str, Any]
Epochs = Callable[[int], Generator[Batch, None, None]]
"""Returns the batches of an epoch, by its index."""


def fit_epochs(
    engine: Engine,
    epochs: range,
    batches_of: Epochs,
    callbacks: CallbackList,
    progress: Progress,
    should_stop: Callable[[], bool],
    validate: Callable[[int], Logs | None],
    exhausted: Callable[[], bool],
    finished: Callable[[int], None],
) -> None:
    """Trains for the epochs; nothing is fetched from the device but for display and epoch ends.

    Args:
        engine: running.
        epochs: indices of the epochs, from 0.
        batches_of: the batches of each.
        callbacks: told of epochs, and of batches if one of them listens.
        progress: shows how far it is.
        should_stop: asked after each batch hook and each epoch.
        validate: returns the logs of validation (without `val_`) after an epoch, or None.
        exhausted: whether the data have ended for good.
        finished: told of each epoch whose steps are done, before callbacks are.
    """
    listens = callbacks.wants_batches("train")
    for epoch in epochs:
        engine.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        progress.epoch_begin(epoch)
        count = 0
        with contextlib.closing(batches_of(epoch)) as batches:  # ends the threads of the data
            for count, batch in enumerate(batches, start=1):
                if listens:
                    callbacks.on_train_batch_begin(count - 1)
                _train(engine, batch, progress)
                progress.update(count, engine.logs)
                if listens:
                    callbacks.on_train_batch_end(count - 1, engine.logs())
                    if should_stop():
                        break
        if count == 0:
            break
        finished(epoch)
        logs = engine.logs()
        progress.update(count, logs.copy)  # the fetch has waited for the steps: their time is known
        validated = validate(epoch)
        if validated is not None:
            logs.update({f"val_{key}": value for key, value in validated.items()})
        callbacks.on_epoch_end(epoch, logs)
        progress.epoch_end(logs)
        if should_stop() or exhausted():
            break


def _train(engine: Engine, batch: Batch, progress: Progress) -> None:
    """Runs one step; one that compiles says how long that took."""
    compiles = engine.is_new(batch)
    start = time.perf_counter()
    engine.train(batch)
    if compiles:
        spent = time.perf_counter() - start
        progress.note(f"compiling {spent:.1f} s")
        progress.skip(spent)


def evaluate_batches(
    engine: Engine,
    batches: Iterable[Batch],
    callbacks: CallbackList,
    progress: Progress | None,
    steps: int | None = None,
) -> Logs:
    """Returns the logs of evaluating the batches (at most `steps`); accumulators start anew."""
    engine.reset_metrics()
    listens = callbacks.wants_batches("test")
    callbacks.on_test_begin()
    for count, batch in enumerate(batches, start=1):
        if listens:
            callbacks.on_test_batch_begin(count - 1)
        engine.test(batch)
        if listens:
            callbacks.on_test_batch_end(count - 1, engine.logs())
        if progress is not None:
            progress.update(count, engine.logs)
        if steps is not None and count >= steps:
            break
    logs = engine.logs()
    callbacks.on_test_end(logs)
    return logs


def predict_batches(
    predict: Callable[[list[Any]], list[Array]],
    batches: Iterable[Batch],
    callbacks: CallbackList,
    progress: Progress,
    steps: int | None = None,
) -> list[np.ndarray] | None:
    """Returns the outputs of all batches, joined on the host; None if there was no batch.

    A last batch with fewer rows than the first is padded with its own last row, so that it needs no
    compilation of its own, and cut again.
    """
    found: list[list[np.ndarray]] = []
    full: int | None = None
    listens = callbacks.wants_batches("predict")
    callbacks.on_predict_begin()
    for count, batch in enumerate(batches, start=1):
        if listens:
            callbacks.on_predict_batch_begin(count - 1)
        rows = batch.rows
        full = full or rows
        outputs = predict([_padded(x, full) for x in batch.inputs])
        found.append([np.asarray(output)[:rows] for output in outputs])
        if listens:
            callbacks.on_predict_batch_end(count - 1, {"outputs": found[-1]})
        progress.update(count, dict)
        if steps is not None and count >= steps:
            break
    callbacks.on_predict_end()
    if not found:
        return None
    return [np.concatenate(parts) for parts in zip(*found)]


def _padded(array: Any, rows: int) -> Any:
    if array is None or array.shape[0] >= rows:
        return array
    missing = rows - array.shape[0]
    array = np.asarray(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
