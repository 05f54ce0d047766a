"""fit(checkpoint=...): interrupted anywhere, a training ends as if it had never been."""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import engine_runs as runs
import numpy as np
import pytest
import resume_models
from engine_runs import LABELS, InterruptAt, Interrupted, X
from resume_models import KINDS, reached, same, train

import kgraph
from kgraph.callbacks import EarlyStopping, LambdaCallback
from kgraph.data import IndexedSource, PyDataset
from kgraph.errors import DataError, StateError
from kgraph.saving.checkpoints import Checkpoint

pytestmark = pytest.mark.filterwarnings(
    "ignore:The data ran out in epoch", "ignore:.*cannot tell its position"
)
ROOT = Path(kgraph.__file__).parents[1]


QUICK = [("arrays", (0, 3)), ("list", (3, 4))]
"""Kinds and batches that the quick run tries: at the end of an epoch, and one before it."""
CASES = [pytest.param(*case, id=f"few {case[0]}") for case in QUICK]
THOROUGH = bool(os.environ.get("KGRAPH_THOROUGH"))
BATCHES = (0, 2, 5, 7, 11) if THOROUGH else (2, 7)
CASES += [pytest.param(kind, BATCHES, id=kind, marks=pytest.mark.slow) for kind in KINDS]


@pytest.mark.parametrize(("kind", "batches"), CASES)
def test_interrupted_before_any_batch_it_ends_the_same(
    kind: str, batches: Any, tmp_path: Path
) -> None:
    expected = train(kind)
    steps = int(expected.model._kgraph.trainer.state()["step"])
    for batch, every in itertools.product(batches, (1,) if len(batches) < 3 else (1, 3)):
        if batch >= steps:
            continue
        folder = tmp_path / f"{batch} {every}"
        with pytest.raises(Interrupted):
            train(kind, folder, every, callbacks=[InterruptAt(batch)])
        resumed = train(kind, folder, every)
        assert same(reached(resumed), reached(expected)), (batch, every)
        assert resumed.model.history.epoch == expected.model.history.epoch
        assert rate_of(resumed.model) == rate_of(expected.model)


def rate_of(model: Any) -> Any:
    rate = model.optimizer.learning_rate
    return rate if isinstance(rate, float) else None


@pytest.mark.parametrize("kind", ["arrays", pytest.param("averages", marks=pytest.mark.slow)])
def test_interrupted_after_each_epoch_it_ends_the_same(kind: str, tmp_path: Path) -> None:
    expected = reached(train(kind))
    for hook, at in itertools.product(("on_epoch_begin", "on_epoch_end"), (1, 2)):

        def fail(epoch: int, *_: Any, at: int = at) -> None:
            if epoch == at:
                raise Interrupted

        folder = tmp_path / f"{hook} {at}"
        with pytest.raises(Interrupted):
            train(kind, folder, callbacks=[LambdaCallback(**{hook: fail})])
        assert same(reached(train(kind, folder)), expected), (hook, at)


def test_interrupted_twice_it_ends_the_same(tmp_path: Path) -> None:
    expected = reached(train("list"))
    for batch in (5, 3):
        with pytest.raises(Interrupted):
            train("list", tmp_path, 1, callbacks=[InterruptAt(batch)])
    assert same(reached(train("list", tmp_path, 1)), expected)


def test_a_finished_training_returns_at_once(tmp_path: Path) -> None:
    first = reached(train("arrays", tmp_path))
    begun: list[int] = []
    again = train("arrays", tmp_path, callbacks=[LambdaCallback(on_epoch_begin=begun.append)])
    assert same(reached(again), first)
    assert begun == []


def test_a_finished_training_of_a_generator_needs_no_data(tmp_path: Path) -> None:
    def once(folder: Any = tmp_path, epochs: int = 1) -> runs.Run:
        model = runs.compiled()
        history = model.fit(
            resume_models.generator(), epochs=epochs, verbose=0, checkpoint=Checkpoint(folder)
        )
        return runs.Run(model, history.history)

    first = reached(once())
    assert same(reached(once()), first)
    assert same(reached(once(epochs=7)), first)  # the data had ended


def test_more_epochs_go_on_from_the_last(tmp_path: Path) -> None:
    train("arrays", tmp_path, epochs=1)
    assert same(reached(train("arrays", tmp_path)), reached(train("arrays")))


def test_what_stopped_a_training_stops_it_again(tmp_path: Path) -> None:
    def stopped() -> runs.Run:
        stop = EarlyStopping("loss", min_delta=100.0, patience=1)
        return train("averages", tmp_path, callbacks=[stop])

    first = stopped()
    assert len(first.logs["loss"]) == 2
    assert same(reached(stopped()), reached(first))


def test_another_model_is_refused_and_the_folder_is_free_again(tmp_path: Path) -> None:
    train("arrays", tmp_path, epochs=1)
    refused = Checkpoint(tmp_path)
    other = runs.compiled(lambda: runs.mlp(activation="relu"))
    with pytest.raises(StateError, match=r"differs in its model[\s\S]*another directory"):
        other.fit(X, LABELS, 4, verbose=0, checkpoint=refused)
    assert not refused.is_open
    train("arrays", tmp_path, epochs=1)


def test_an_iterator_without_position_is_replayed_with_a_warning(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train("endless", tmp_path, 1, callbacks=[InterruptAt(2)])
    with pytest.warns(UserWarning, match=r"generator|endless"):
        train("endless", tmp_path, 1)


VALIDATIONS = {
    "remembering": lambda: {"validation_data": resume_models.Remembering(runs.cut())},
    "endless": lambda: {"validation_data": runs.endless()},
    "function": lambda: {"validation_data": resume_models.generator},
}


HOOKS = [("on_test_batch_begin", 4), ("on_train_batch_begin", 5)]
PLACES = [pytest.param("remembering", HOOKS[:1], id="few remembering")]
PLACES += [pytest.param(kind, HOOKS, id=kind, marks=pytest.mark.slow) for kind in VALIDATIONS]


@pytest.mark.parametrize(("kind", "hooks"), PLACES)
def test_validation_goes_on_where_it_was(kind: str, hooks: Any, tmp_path: Path) -> None:
    """Validations of 3 batches out of 4: each of an iterator's has others."""

    def run(*args: Any, **changes: Any) -> Any:
        return train("list", *args, validation_steps=3, **VALIDATIONS[kind](), **changes)

    expected = reached(run())
    assert len(set(expected["logs"]["val_loss"])) == 3
    for hook, at in hooks:
        calls = itertools.count()

        def fail(*_: Any, at: int = at, calls: Any = calls) -> None:
            if next(calls) == at:
                raise Interrupted

        folder = tmp_path / hook
        with pytest.raises(Interrupted):
            run(folder, 1, callbacks=[LambdaCallback(**{hook: fail})])
        with relaxed_warning(kind == "endless"):
            resumed = run(folder, 1)
        assert same(reached(resumed), expected), hook


def relaxed_warning(expected: bool) -> Any:
    if not expected:
        return contextlib.nullcontext()
    return pytest.warns(UserWarning, match="endless cannot tell its position")


def test_validation_data_that_have_ended_give_no_numbers(tmp_path: Path) -> None:
    def run(epochs: int) -> Any:
        held = {"validation_data": resume_models.generator()}
        return train("list", tmp_path, epochs=epochs, **held).logs

    with pytest.warns(UserWarning, match="validation data have ended, so there are no val_ logs"):
        logs = run(2)
    with pytest.warns(UserWarning, match="validation data have ended"):
        more = run(3)
    assert len(more["loss"]) == 3
    assert more["val_loss"] == logs["val_loss"] != [0.0]
    assert len(more["val_loss"]) == 1


def test_sigterm_between_the_last_epoch_and_the_end_is_not_lost(tmp_path: Path) -> None:
    late = LambdaCallback(on_train_end=lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as caught:
        train("arrays", tmp_path, callbacks=[late])
    assert caught.value.code == 75
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert same(reached(train("arrays", tmp_path)), reached(train("arrays")))


def test_sigterm_saves_and_leaves_a_model_that_can_be_used(tmp_path: Path) -> None:
    term = LambdaCallback(
        on_train_batch_end=lambda batch, _: batch == 3 and os.kill(os.getpid(), signal.SIGTERM)
    )
    model = runs.compiled()
    with pytest.raises(SystemExit) as caught:
        model.fit(X, LABELS, 4, 3, 0, [term], checkpoint=Checkpoint(tmp_path, every="1h"))
    assert caught.value.code == 75
    assert Checkpoint(tmp_path).latest() == 4
    model.evaluate(X, LABELS, verbose=0)


# --- other processes -----------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    """A process that forks trainings, so that JAX is imported once and compiles into a cache."""
    program = Path(resume_models.__file__)
    flags = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(program.parent)]),
        "JAX_PLATFORMS": "cpu",
        "PYTHONWARNINGS": "ignore",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    with subprocess.Popen(
        [sys.executable, str(program)], env={**os.environ, **flags}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, bufsize=1,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.stdin.close()
            process.kill()


class Child:
    """A training in a process of its own."""

    def __init__(self, server: Any, kind: str, folder: Path, out: Path, every: str) -> None:
        self._server, self._folder = server, folder
        self._before = Checkpoint(folder).latest()
        server.stdin.write(f"{kind} {folder} {out} {every}\n")
        self.pid = int(server.stdout.readline())

    def stop_after(self, seconds: float, number: int) -> None:
        """Sends a signal some time after the training has saved something."""
        checkpoint = Checkpoint(self._folder)
        limit = time.monotonic() + 60
        while checkpoint.latest() == self._before and time.monotonic() < limit:
            if not Path(f"/proc/{self.pid}").exists():
                return
            time.sleep(0.01)
        time.sleep(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def status(self) -> int:
        """Waits for the end of the process; fails if it does not end."""
        limit = threading.Timer(120, os.kill, (self.pid, signal.SIGABRT))
        limit.start()
        status = int(self._server.stdout.readline())
        limit.cancel()
        assert status != -signal.SIGABRT, "the training stands still"
        return status


@pytest.mark.slow
def test_sigterm_ends_a_process_with_status_75(server: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    expected = _uninterrupted(server, tmp_path)
    ended = []
    while not out.exists():
        child = Child(server, "arrays", tmp_path / "run", out, "0.02s")
        if len(ended) < 3:
            child.stop_after(0.03, signal.SIGTERM)
        ended.append(child.status())
    assert ended[0] == 75
    assert set(ended) <= {75, -signal.SIGTERM, 0}  # -SIGTERM: it came after the training's end
    assert same(pickle.loads(out.read_bytes()), expected)


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_the_same(server: Any, tmp_path: Path) -> None:
    expected = _uninterrupted(server, tmp_path)
    out, rng, kills, number = tmp_path / "out", random.Random(4), 0, 0
    enough = 20 if THOROUGH else 10
    while kills < enough:
        number += 1
        folder, every = tmp_path / f"run{number}", ("2", "0.05s")[number % 2]
        out.unlink(missing_ok=True)
        while not out.exists():
            child = Child(server, "arrays", folder, out, every)
            child.stop_after(rng.uniform(0, 0.3), signal.SIGKILL)
            kills += child.status() == -signal.SIGKILL
            if kills >= enough:
                assert Child(server, "arrays", folder, out, every).status() == 0
        assert same(pickle.loads(out.read_bytes()), expected), f"after {kills} kills"


def _uninterrupted(server: Any, folder: Path) -> Any:
    """Returns what a process reaches that nobody disturbs."""
    out = folder / "expected"
    assert Child(server, "arrays", folder / "whole", out, "1h").status() == 0
    return pickle.loads(out.read_bytes())


class Reshuffled(PyDataset):
    """Batches whose order each end of an epoch changes."""

    def __init__(self) -> None:
        super().__init__()
        self.random, self.order = np.random.default_rng(4), np.arange(4)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return runs.cut()[self.order[index]]

    def on_epoch_end(self) -> None:
        self.random.shuffle(self.order)


def test_a_dataset_that_shuffles_itself_at_the_end_of_epochs_goes_on(tmp_path: Path) -> None:
    def fit(data: Any, folder: Path | None, *callbacks: Any) -> dict[str, Any]:
        model = runs.compiled()
        checkpoint = None if folder is None else Checkpoint(folder, every=1)
        history = model.fit(
            data, epochs=4, verbose=0, shuffle=False, callbacks=list(callbacks),
            checkpoint=checkpoint,
        ).history  # fmt: skip
        return reached(runs.Run(model, history))

    expected = fit(Reshuffled(), None)
    for batch in (7, 8, 10):
        with pytest.raises(Interrupted):
            fit(Reshuffled(), tmp_path / str(batch), InterruptAt(batch))
        with pytest.warns(UserWarning, match=r"Reshuffled.on_epoch_end is called for . epochs"):
            found = fit(Reshuffled(), tmp_path / str(batch))
        assert same(found, expected), batch


def test_a_dataset_that_has_changed_further_than_the_checkpoint_is_refused() -> None:
    data = Reshuffled()
    first = IndexedSource(data)
    list(first.epoch(0))
    position = first.get_position()
    again = IndexedSource(data)
    again.set_position(position, 4)
    with pytest.raises(DataError, match=r"Reshuffled has changed since[\s\S]*a new Reshuffled"):
        next(again.epoch(0))
    again.set_position(position, 4)
    next(again.epoch(1))  # it has changed as far as that
