"""Data that come batch by batch: every kind, their errors, their threads, and what is read."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import engine_runs as runs
import numpy as np
import pytest
from engine_runs import LABELS, X, assert_same, compiled, cut, trained

from kgraph.callbacks import LambdaCallback
from kgraph.data import PyDataset, ahead_if_slow
from kgraph.errors import DataError
from kgraph.training.pace import Pace


class Numbered(PyDataset):
    def __len__(self) -> int:
        return len(cut())

    def __getitem__(self, index: int) -> Any:
        return cut()[index]


class Loader:
    """Looks like a torch DataLoader: a length, and a new iterator for each pass."""

    def __len__(self) -> int:
        return len(cut())

    def __iter__(self) -> Iterator[Any]:
        return iter([list(batch) for batch in cut()])


class Remembering:
    """An iterator with a position, like those of grain."""

    def __init__(self) -> None:
        self.at = 0

    def __iter__(self) -> Remembering:
        return self

    def __next__(self) -> Any:
        self.at += 1
        return cut()[(self.at - 1) % 4]

    def get_state(self) -> dict[str, int]:
        return {"at": self.at}

    def set_state(self, state: dict[str, int]) -> None:
        self.at = state["at"]


def generate() -> Iterator[Any]:
    yield from cut()


def _grain() -> Any:
    grain = pytest.importorskip("grain")
    return grain.MapDataset.source(cut()).to_iter_dataset()


KINDS = {
    "generator": (runs.endless, {"steps_per_epoch": 4}),
    "generator function": (lambda: generate, {}),
    "list": (cut, {}),
    "loader": (Loader, {}),
    "numbered": (Numbered, {"shuffle": False}),
    "numbered by threads": (lambda: Numbered(workers=3, max_queue_size=2), {"shuffle": False}),
    "iterator with a position": (Remembering, {"steps_per_epoch": 4}),
    "grain": (_grain, {}),
}


def _threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("kgraph-data")]


@pytest.fixture(scope="module")
def by_arrays() -> runs.Run:
    return trained(compiled(), shuffle=False)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_kind_gives_the_numbers_of_arrays(kind: Any, by_arrays: runs.Run) -> None:
    make, options = kind
    assert_same(trained(compiled(), make(), **options), by_arrays)
    assert _threads() == []


def test_validation_and_evaluation_stream_as_well(by_arrays: runs.Run) -> None:
    model = by_arrays.model
    whole = model.evaluate(X, LABELS, 4, verbose=0, return_dict=True)
    read: list[int] = []

    def counted() -> Iterator[Any]:
        for i, batch in enumerate(runs.endless()):
            read.append(i)
            yield batch

    assert model.evaluate(counted(), steps=4, verbose=0, return_dict=True) == whole
    assert read == [0, 1, 2, 3]
    for held in (cut(), Numbered(workers=2), generate):
        run = trained(compiled(), validation_data=held, epochs=2)
        expected = trained(compiled(), validation_data=(X, LABELS), validation_batch_size=4)
        assert run.logs == expected.logs
    np.testing.assert_allclose(
        model.predict(Numbered(workers=2), verbose=0), model.predict(X, 4, verbose=0), rtol=1e-5
    )
    assert _threads() == []


def broken() -> Iterator[Any]:
    """Fails at its third batch."""
    yield from cut()[:2]
    raise OSError("the disk is gone")


class BrokenNumbered(Numbered):
    def __getitem__(self, index: int) -> Any:
        return cut()[index] if index < 2 else next(broken_now())


def broken_now() -> Iterator[Any]:
    raise OSError("the disk is gone")
    yield


@pytest.mark.parametrize(
    ("make", "line"),
    [(lambda: broken, "broken"), (lambda: BrokenNumbered(workers=2), "broken_now")],
    ids=["function", "numbered by threads"],
)
def test_an_error_of_the_data_has_the_users_line(make: Any, line: str) -> None:
    model = compiled()
    with pytest.raises(OSError, match="the disk is gone") as caught:
        trained(model, make(), shuffle=False)
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert line in frames
    assert "raise OSError" in "".join(traceback.format_exception(caught.value))
    assert _threads() == []
    assert int(model._kgraph.trainer.state()["step"]) == 2
    trained(model)


def test_bad_labels_in_a_late_batch_are_refused_with_their_place() -> None:
    batches = [*cut()[:2], (X[:4], LABELS[:4] + 7)]
    with pytest.raises(DataError, match=r"expected +0 to 2"):
        trained(compiled(), batches)
    assert _threads() == []


@pytest.mark.parametrize("make", [runs.endless, lambda: Numbered(workers=2)],
                         ids=["generator", "numbered"])  # fmt: skip
def test_threads_end_when_training_is_stopped(make: Any) -> None:
    model = compiled()

    def stop(batch: int, logs: Any) -> None:
        model.stop_training = batch == 1

    trained(model, make(), callbacks=[LambdaCallback(on_train_batch_end=stop)], steps_per_epoch=4)
    assert int(model._kgraph.trainer.state()["step"]) == 2
    assert _threads() == []


# An interrupt inside JAX's own compilation cache leaves a file to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_threads_end_at_ctrl_c_while_a_slow_source_is_waited_for() -> None:
    model = compiled()
    trained(model, cut(), epochs=1)
    reached, release = threading.Event(), threading.Event()

    def slow() -> Iterator[Any]:
        yield cut()[0]
        reached.set()
        release.wait(10)
        yield cut()[1]

    def interrupt() -> None:
        reached.wait(10)
        time.sleep(0.05)  # the step is done by now, and fit waits for the second batch
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        release.set()

    thread = threading.Thread(target=interrupt)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - both lines may be interrupted
        thread.start()
        trained(model, slow, epochs=1)
    thread.join()
    assert _threads() == []
    trained(model)


def test_batches_of_many_sizes_compile_few_times_and_train_as_they_are() -> None:
    sizes = [(0, 3), (3, 8), (8, 9), (9, 13)]
    batches = [(X[a:b], LABELS[a:b]) for a, b in sizes]
    model = compiled(optimizer="sgd")
    run = trained(model, batches)
    by_hand = compiled(optimizer="sgd")
    losses = [by_hand.train_on_batch(x, y)[0] for _ in range(2) for x, y in batches]
    rows = [b - a for a, b in sizes]
    expected = [np.average(losses[i : i + 4], weights=rows) for i in (0, 4)]
    np.testing.assert_allclose(run.logs["loss"], expected, rtol=1e-6)
    for a, b in zip(model.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    steps = [e for e in model.compile_report() if e.function.startswith("train")]
    assert len(steps) == 2  # three rows, and five, which the later ones are padded to


@pytest.mark.parametrize("listens", [False, True])
def test_few_batches_are_read_ahead_and_none_too_many(listens: bool) -> None:
    read, most, model = [0], [0], compiled()

    def counted() -> Iterator[Any]:
        while True:
            read[0] += 1
            yield cut()[0]

    def look(batch: int, logs: Any) -> None:
        time.sleep(0.02)  # the thread has time to run ahead
        most[0] = max(most[0], read[0] - batch - 1)

    callbacks = [LambdaCallback(on_train_batch_end=look)] if listens else []
    trained(model, counted(), steps_per_epoch=10, epochs=1, callbacks=callbacks)
    assert read == [10]
    assert most[0] <= 4


def test_a_slow_source_gives_the_same_numbers_and_may_use_its_memory_again(
    by_arrays: runs.Run,
) -> None:
    memory = np.empty_like(X[:4])

    def slow() -> Iterator[Any]:
        for x, y in cut():
            time.sleep(0.01)
            memory[: len(x)] = x
            yield memory[: len(x)], y

    later = LambdaCallback(on_train_batch_end=lambda *_: time.sleep(0.03))
    assert_same(trained(compiled(), slow, callbacks=[later]), by_arrays)


def test_a_thread_reads_ahead_only_where_that_takes_long() -> None:
    threads: list[str] = []

    def generate(seconds: float) -> Iterator[Any]:
        for batch in cut():
            time.sleep(seconds)
            threads.append(threading.current_thread().name)
            yield batch

    trained(compiled(), lambda: generate(0.01), epochs=1)
    assert threads[0] == "MainThread"
    assert threads[-1] == "kgraph-data"
    threads.clear()
    late = list(ahead_if_slow(generate(0), lambda item: item))
    assert len(late) == len(threads)
    assert _threads() == []


def test_validation_that_never_comes_leaves_no_thread() -> None:
    data = Numbered(workers=2)
    trained(compiled(), epochs=1, validation_data=data, validation_freq=5)
    assert _threads() == []


def test_an_error_before_training_leaves_no_thread() -> None:
    model = compiled(loss="mse")
    with contextlib.suppress(Exception):
        model.fit(Numbered(workers=2), class_weight={0: 1.0}, validation_data=3, verbose=0)
    assert _threads() == []


def test_short_steps_of_a_stream_wait_for_each_other_less_than_long_ones():
    pace = Pace()
    assert pace.in_flight() == 2
    pace.note(1, 0.001)
    assert pace.in_flight() == 16
    pace.note(1, 0.02)
    assert pace.in_flight() == 3
    pace.note(1, 0.05)
    assert pace.in_flight() == 2
