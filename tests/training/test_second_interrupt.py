"""Ctrl-C and SIGTERM, again and again, while a training is on its way out."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from striking import Strikes

import kgraph
from kgraph.callbacks import Callback

INT, TERM = signal.SIGINT, signal.SIGTERM
THOROUGH = bool(os.environ.get("KGRAPH_THOROUGH"))
X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def _batches() -> Iterator[Any]:
    for start in range(0, 12, 4):
        yield X[start : start + 4], Y[start : start + 4]


WAYS: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "arrays": ("on_train_batch_end", lambda: {"x": X, "y": Y, "batch_size": 4}),
    "stream": ("on_train_batch_end", lambda: {"x": _batches}),
    "validation": (
        "on_test_batch_end", lambda: {"x": _batches, "validation_data": _batches},
    ),
}  # fmt: skip
"""Where the first signal comes, and on what the model trains."""


class Strike(Callback):
    """Sends a signal in a hook, in the second epoch, and keeps what the model is then."""

    def __init__(self, hook: str, number: int, strikes: Strikes) -> None:
        super().__init__()
        self._number, self._strikes, self._epoch = number, strikes, 0
        self.kept: list[np.ndarray] = []
        setattr(self, hook, self._strike)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def _strike(self, batch: int, logs: Any = None) -> None:
        if (self._epoch, batch) == (1, 1):
            self.kept = _state_of(self.model)
            self._strikes.begin()
            signal.raise_signal(self._number)


def _model() -> Any:
    inputs = kgraph.Input((4,))
    x = inputs
    for _ in range(3):  # of equal shapes: they are stacked, and so is the optimizer's state
        x = kgraph.layers.Dense(4, activation="tanh")(x)
    model = kgraph.Model(inputs, kgraph.layers.Dense(1)(kgraph.layers.Dropout(0.1)(x)))
    model.compile("adam", "mse")
    return model


def _state_of(model: Any) -> list[np.ndarray]:
    state = model._kgraph.trainer.state() | {"weights": model.get_weights()}
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def _leave(model: Any, way: str, first: int, plan: dict[int, int], **options: Any) -> Any:
    """Trains and is interrupted. Returns what arrived, and how many lines there were."""
    hook, data = WAYS[way]
    strikes = Strikes(plan)
    strike = Strike(hook, first, strikes)
    caught: Any = None
    try:
        model.fit(epochs=3, verbose=0, callbacks=[strike], **data(), **options)
    except (KeyboardInterrupt, SystemExit) as error:
        caught = error
    finally:
        strikes.end()
    assert strike.kept
    for one, other in zip(strike.kept, _state_of(model), strict=True):
        np.testing.assert_array_equal(one, other)
    _assert_nothing_is_left(model)
    return caught, strikes.lines


def _assert_nothing_is_left(model: Any) -> None:
    assert signal.getsignal(INT) is signal.default_int_handler
    assert signal.getsignal(TERM) is signal.SIG_DFL
    assert model._kgraph.trainer.running is None
    for thread in threading.enumerate():
        if thread.name.startswith("kgraph"):
            thread.join(30)
            assert not thread.is_alive(), thread.name


def _plans(lines: int, every: int) -> Iterator[dict[int, int]]:
    """Yields where the second signal comes, and in each other plan a third and a fourth one."""
    dice = random.Random(0)
    for number, line in enumerate(range(dice.randrange(every), lines, every)):
        later = [line + 1 + dice.randrange(40), line + 2] if number % 2 else []
        yield dict.fromkeys([line, *later], INT)


def _try_plans(way: str, every: int) -> None:
    model = _model()
    _, lines = _leave(model, way, INT, {})
    assert lines > 100
    for plan in _plans(lines, every):
        caught, _ = _leave(model, way, INT, plan)
        assert isinstance(caught, KeyboardInterrupt)
    model.fit(X, Y, verbose=0)
    assert np.all(np.isfinite(model.predict(X, verbose=0)))


@pytest.mark.parametrize("way", WAYS)
def test_a_second_ctrl_c_on_the_way_out_loses_nothing(way: str) -> None:
    _try_plans(way, 17)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_second_ctrl_c_at_every_line_of_the_way_out_loses_nothing(way: str) -> None:
    _try_plans(way, 1 if THOROUGH else 2 if way == "arrays" else 4)


def _try_with_a_checkpoint(folder: Path, first: int, every: int) -> None:
    """Ctrl-C in the second epoch of a training that is saved, or while SIGTERM has it saved."""
    _, lines = _leave(_model(), "arrays", first, {}, checkpoint=kgraph.Checkpoint(folder / "all"))
    for number, plan in enumerate(_plans(lines, every)):
        model, checkpoint = _model(), kgraph.Checkpoint(folder / str(number))
        caught, _ = _leave(model, "arrays", first, plan, checkpoint=checkpoint)
        assert isinstance(caught, KeyboardInterrupt) or caught.code == 75
        with checkpoint:  # waits for what is still written
            steps = checkpoint.steps()
            assert steps == [3, 5] if isinstance(caught, SystemExit) else steps in ([3], [3, 5])
        model.fit(X, Y, batch_size=4, epochs=3, verbose=0, checkpoint=checkpoint)
        assert checkpoint.steps()[-1] == 9


@pytest.mark.parametrize(("first", "every"), [(INT, 300), (TERM, 25_000)])
def test_a_second_signal_loses_no_checkpoint(tmp_path: Path, first: int, every: int) -> None:
    _try_with_a_checkpoint(tmp_path, first, every)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "every"), [(INT, 25), (TERM, 4_000)] if THOROUGH else [(INT, 120), (TERM, 12_000)]
)
def test_a_second_signal_anywhere_loses_no_checkpoint(
    tmp_path: Path, first: int, every: int
) -> None:
    _try_with_a_checkpoint(tmp_path, first, every)
