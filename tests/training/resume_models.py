"""Trainings that save themselves, for the tests in this process and in others.

As a program it forks trainings that write what they reached to a file; see `serve`.
"""

from __future__ import annotations

import functools
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import engine_runs as runs
import numpy as np
from engine_runs import BATCH, LABELS, X, cut

from kgraph import optimizers
from kgraph.callbacks import EarlyStopping, LearningRateScheduler, ReduceLROnPlateau
from kgraph.data import PyDataset
from kgraph.saving.checkpoints import Checkpoint

EPOCHS = 3


class Remembering:
    """An iterator that can tell, and go to, its position."""

    def __init__(self, batches: list[Any]) -> None:
        self.batches, self.at = batches, 0

    def __iter__(self) -> Remembering:
        return self

    def __next__(self) -> Any:
        self.at += 1
        return self.batches[(self.at - 1) % len(self.batches)]

    def get_state(self) -> dict[str, Any]:
        return {"at": self.at, "bytes": bytes([self.at])}

    def set_state(self, state: dict[str, Any]) -> None:
        assert state["bytes"] == bytes([state["at"]])
        self.at = state["at"]


class Numbered(PyDataset):
    """Batches by number, made by two threads."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return cut()[index]


def generator() -> Iterator[Any]:
    """Yields the batches once."""
    yield from cut()


ARRAYS = {"x": X, "y": LABELS, "batch_size": BATCH}
HELD = {"validation_data": (X[:5], LABELS[:5])}
SCHEDULE = optimizers.schedules.CosineDecay(0.1, 12)


def _watchers() -> list[Any]:
    return [
        EarlyStopping("val_loss", patience=9, restore_best_weights=True),
        ReduceLROnPlateau("loss", factor=0.3, patience=1, min_delta=100.0),
    ]


def _decay(epoch: int, rate: float) -> float:
    return rate * 0.7


# Optimizer, build, arguments of fit: each made anew for each training.
KINDS: dict[str, Callable[[], tuple[Any, Any, dict[str, Any]]]] = {
    "arrays": lambda: (
        "adam", runs.dropping, {**ARRAYS, **HELD, "callbacks": _watchers()},
    ),
    "statistics": lambda: (optimizers.SGD(SCHEDULE, 0.9), runs.normalized, ARRAYS),
    "averages": lambda: (
        optimizers.Adam(0.05, use_ema=True, ema_momentum=0.5), runs.mlp,
        {**ARRAYS, "callbacks": [LearningRateScheduler(_decay)], "shuffle": "batch"},
    ),
    "parts of passes": lambda: ("sgd", runs.mlp, {**ARRAYS, "steps_per_epoch": 3}),
    "list": lambda: ("adam", runs.mlp, {"x": cut()}),
    "function": lambda: ("adam", runs.mlp, {"x": generator}),
    "endless": lambda: ("adam", runs.mlp, {"x": runs.endless(), "steps_per_epoch": 3}),
    "remembering": lambda: (
        "adam", runs.mlp, {"x": Remembering(cut()), "steps_per_epoch": 3},
    ),
    "numbered": lambda: (
        "adam", runs.mlp, {"x": Numbered(workers=2), "shuffle": True, "steps_per_epoch": 3},
    ),
}  # fmt: skip


def train(kind: str, folder: Any = None, every: Any = None, **changes: Any) -> runs.Run:
    """Runs one of the trainings, or goes on with it."""
    optimizer, build, fit = KINDS[kind]()
    model = runs.compiled(build, optimizer)
    more = changes.pop("callbacks", [])
    fit = {"epochs": EPOCHS, "verbose": 0, **fit, **changes}
    fit["callbacks"] = [*fit.get("callbacks", []), *more]
    if folder is not None:
        fit["checkpoint"] = Checkpoint(folder, every=every)
    return runs.Run(model, model.fit(**fit).history)


def reached(run: runs.Run) -> dict[str, Any]:
    """Returns all that a training has reached, as plain data."""
    state = run.model._kgraph.trainer.state()
    return {
        "logs": run.logs,
        "weights": run.model.get_weights(),
        "optimizer": runs.arrays_of(state["optimizer"]),
        "step": int(state["step"]),
    }


def same(one: Any, other: Any) -> bool:
    """Tells whether two results of `reached` are equal, bit for bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(np.array_equal(one, other))


def serve() -> None:
    """Forks a training for each line `KIND FOLDER OUT EVERY` on stdin, before JAX has started.

    Prints its pid, and when it has ended its status as `subprocess` tells it.
    """
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            kind, folder, out, every = line.split()
            run = functools.partial(train, kind, folder, int(every) if every.isdigit() else every)
            try:
                Path(out).write_bytes(pickle.dumps(reached(run(epochs=40))))
            except SystemExit as end:
                os._exit(int(str(end.code)))
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
