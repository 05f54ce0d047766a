"""Tiny models, their data, and whole trainings to compare, for tests of the training engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import kgraph
from kgraph.callbacks import Callback
from kgraph.saving.checkpoints import Checkpoint
from kgraph.training.feed import flat_batch
from kgraph.training.step import Batch

ROWS, BATCH = 13, 4
"""Rows that batches do not divide: an epoch has 4 batches, the last of one row."""

_random = np.random.default_rng(11)
X = _random.normal(size=(ROWS, 5)).astype("float32")
LABELS = _random.integers(0, 3, ROWS)
TARGETS = _random.normal(size=(ROWS, 3)).astype("float32")
WORDS = np.where(np.arange(6) < _random.integers(1, 7, (ROWS, 1)), 1 + LABELS[:, None], 0)
IMAGES = _random.normal(size=(ROWS, 4, 4, 2)).astype("float32")
WEIGHTS = _random.random(ROWS).astype("float32")


class Run(NamedTuple):
    """What a training has made."""

    model: Any
    logs: dict[str, list[Any]]


def mlp(*hidden: Any, activation: str = "tanh") -> Any:
    """Returns a model of 5 features and 3 logits, with `hidden` between its two Dense layers."""
    inputs = kgraph.Input((5,), name="x")
    x = kgraph.layers.Dense(4, activation=activation, name="first")(inputs)
    for layer in hidden:
        x = layer(x)
    return kgraph.Model(inputs, kgraph.layers.Dense(3, name="y")(x))


def dropping() -> Any:
    return mlp(kgraph.layers.Dropout(0.4))


def normalized() -> Any:
    return mlp(kgraph.layers.BatchNormalization())


def recurrent() -> Any:
    inputs = kgraph.Input((6,), dtype="int32", name="words")
    x = kgraph.layers.Embedding(5, 3, mask_zero=True)(inputs)
    return kgraph.Model(inputs, kgraph.layers.Dense(3)(kgraph.layers.LSTM(3)(x)))


def convolutional() -> Any:
    inputs = kgraph.Input((4, 4, 2), name="images")
    x = kgraph.layers.Conv2D(3, 2, activation="relu")(inputs)
    return kgraph.Model(inputs, kgraph.layers.Dense(3)(kgraph.layers.Flatten()(x)))


def sparse() -> Any:
    return kgraph.losses.SparseCategoricalCrossentropy(from_logits=True)


def compiled(build: Callable[[], Any] = mlp, optimizer: Any = "adam", **options: Any) -> Any:
    """Returns a new model with always the same weights, compiled for labels of three classes."""
    kgraph.utils.set_random_seed(5)
    model = build()
    if "loss_fn" not in options:
        options = {"loss": sparse(), "metrics": ["accuracy"], **options}
    model.compile(optimizer, **options)
    return model


def trained(model: Any, x: Any = X, y: Any = LABELS, **fit: Any) -> Run:
    """Returns what `fit` makes of a model in two epochs."""
    if not isinstance(x, np.ndarray):
        y = None
    elif "batch_size" not in fit:
        fit["batch_size"] = BATCH
    history = model.fit(x, y, **{"epochs": 2, "verbose": 0, **fit})
    return Run(model, history.history)


def cut(rows: int = ROWS, size: int = BATCH) -> list[Any]:
    """Returns the batches of the data in their order."""
    return [(X[i : i + size], LABELS[i : i + size]) for i in range(0, rows, size)]


def endless() -> Iterator[Any]:
    """Yields the batches again and again."""
    while True:
        yield from cut()


def assert_same(one: Run, other: Run) -> None:
    """Compares logs and all that training has reached, bit for bit."""
    assert one.logs == other.logs
    assert_same_state(one.model, other.model)


def assert_same_state(one: Any, other: Any) -> None:
    """Compares weights, optimizer state, step and epoch of two models, bit for bit."""
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    first, second = one._kgraph.trainer.state(), other._kgraph.trainer.state()
    assert (int(first["step"]), int(first["epoch"])) == (int(second["step"]), int(second["epoch"]))
    leaves = arrays_of(first["optimizer"]), arrays_of(second["optimizer"])
    for a, b in zip(*leaves, strict=True):
        np.testing.assert_array_equal(a, b)


def arrays_of(tree: Any) -> list[np.ndarray]:
    """Returns the arrays of an optimizer's state."""
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def flat(model: Any, x: Any, y: Any) -> Batch:
    """Returns a batch in the order of a model's graph."""
    return flat_batch(model._kgraph_inner_graph, x, y, None)


class Interrupted(Exception):
    """What `InterruptAt` raises."""


class InterruptAt(Callback):
    """Raises before a batch of the training; counts all batches, from 0."""

    def __init__(self, batch: int) -> None:
        self.left = batch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.left == 0:
            raise Interrupted
        self.left -= 1


def fitted(data: Any, folder: Path | None = None, epochs: int = 3, **more: Any) -> tuple[Any, Any]:
    """Returns history and weights of a training; in a folder, it goes on where it has stopped."""
    model = compiled()
    checkpoint = None if folder is None else Checkpoint(folder, every=1)
    history = model.fit(data, epochs=epochs, verbose=0, checkpoint=checkpoint, **more).history
    return history, model.get_weights()
