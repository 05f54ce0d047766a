"""A model that other threads use while it trains: they see the weights of a finished block."""

import copy
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kgraph
from kgraph import layers
from kgraph.errors import StateError
from kgraph.training import finished_blocks
from kgraph.training.compilation import Compiler

LIMIT = 60.0
"""Seconds after which something that should have happened is stuck."""

ROWS = np.zeros((64, 2), np.float32)


@kgraph.saving.register_keras_serializable("threads")
class Growing(layers.Layer):
    """Adds its two weights, of which each step of `growing` adds the same to all elements."""

    def build(self, input_shape: Any) -> None:
        self.first = self.add_weight((1, 2), "zeros", name="first")
        self.second = self.add_weight((1, 2), "zeros", name="second")

    def call(self, inputs: Any) -> Any:
        return inputs + self.first + self.second


@kgraph.saving.register_keras_serializable("threads")
def upwards(y_true: Any, y_pred: Any) -> Any:
    return jnp.mean(-2 * y_pred, axis=-1) + 0 * jnp.mean(y_true)


def growing(blocks: int = 1) -> kgraph.Model:
    """Returns a model whose weights are all the same number after each step, and others then."""
    inputs = x = kgraph.Input((2,))
    for _ in range(blocks):
        x = Growing()(x)
    model = kgraph.Model(inputs, x)
    model.compile(kgraph.optimizers.Adam(1.0), upwards)
    return model


class Together:
    """Threads that each do something again and again while a model trains."""

    def __init__(self, **uses: Callable[[], Any]) -> None:
        self.results: dict[str, list[Any]] = {name: [] for name in uses}
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=item, daemon=True) for item in uses.items()
        ]

    def _repeat(self, name: str, use: Callable[[], Any]) -> None:
        try:
            while not self._stop.is_set():
                self.results[name].append(use())
        except BaseException as error:
            self.failure = error

    def train(self, model: kgraph.Model, rounds: int = 3) -> None:
        """Trains until each use has been made so often, or one has failed."""
        for thread in self._threads:
            thread.start()
        end = time.monotonic() + LIMIT

        def done() -> bool:
            assert time.monotonic() < end, f"stuck: {list(map(len, self.results.values()))}"
            return all(len(found) >= rounds for found in self.results.values())

        try:
            while not done() and self.failure is None:
                model.fit(ROWS, ROWS, batch_size=1, epochs=4, verbose=0)
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(LIMIT)
        if self.failure is not None:
            raise self.failure
        assert not any(thread.is_alive() for thread in self._threads)


@pytest.mark.parametrize("blocks", [1, 6])  # six blocks are stacked
def test_uses_in_other_threads_see_one_finished_block(blocks: int, tmp_path: Path) -> None:
    model, path = growing(blocks), tmp_path / "model.kgraph"

    def saved() -> np.ndarray:
        model.save(path)
        return np.concatenate(kgraph.saving.load_model(path).get_weights())

    uses = Together(
        predict=lambda: model.predict(ROWS[:2], verbose=0),
        call=lambda: model(ROWS[:2]),
        get_weights=lambda: np.concatenate(model.get_weights()),
        copies=lambda: np.concatenate(copy.deepcopy(model).get_weights()),
        evaluate=lambda: model.evaluate(ROWS, ROWS, verbose=0, batch_size=16),
        one=lambda: model.weights[-1].numpy(),
        save=saved,
    )
    uses.train(model)
    for name, found in uses.results.items():
        for result in found:
            assert np.ptp(np.asarray(result)) == 0, f"{name} has mixed two blocks: {result}"
    # Adam's steps of 1: one evaluation, of four batches, has seen one whole number of them.
    size = 2 * 2 * blocks
    assert all(abs(loss / size - round(loss / size)) < 0.01 for loss in uses.results["evaluate"])


@pytest.mark.parametrize("blocks", [1, 6])
def test_a_training_that_begins_during_an_evaluation_does_not_change_it(blocks: int) -> None:
    model, begun, trained = growing(blocks), threading.Event(), threading.Event()
    model.fit(ROWS[:1], ROWS[:1], verbose=0)
    expected = model.evaluate(ROWS, ROWS, batch_size=16, verbose=0)

    def batches() -> Any:
        for number in range(4):
            yield ROWS[:16], ROWS[:16]
            if number == 1:
                begun.set()
                assert trained.wait(LIMIT)

    def train() -> None:
        assert begun.wait(LIMIT)
        model.fit(ROWS[:1], ROWS[:1], epochs=3, verbose=0)
        trained.set()

    thread = threading.Thread(target=train)
    thread.start()
    assert model.evaluate(batches(), verbose=0) == expected
    thread.join(LIMIT)
    assert model.evaluate(ROWS, ROWS, batch_size=16, verbose=0) < expected


def test_weights_set_in_another_thread_are_set_between_two_blocks() -> None:
    model = growing()
    model.predict(ROWS[:1], verbose=0)
    values = [np.full((1, 2), -1000.0, np.float32)] * 2
    uses = Together(set=lambda: model.set_weights(values), get=model.get_weights)
    uses.train(model)
    for first, second in uses.results["get"]:
        np.testing.assert_array_equal(first, second)


def test_a_copy_made_while_a_model_trains_keeps_its_own_count() -> None:
    model = growing()
    made: list[kgraph.Model] = []
    step = kgraph.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: made.append(copy.deepcopy(model))
    )
    model.fit(ROWS[:3], ROWS[:3], batch_size=1, verbose=0, callbacks=[step])
    assert [int(twin.optimizer.iterations) for twin in made if twin.optimizer] == [1, 2, 3]


def test_a_second_fit_is_refused_in_any_thread() -> None:
    model = growing()
    others: list[Any] = []

    def second() -> None:
        try:
            others.append(model.fit(ROWS, ROWS, verbose=0))
        except StateError as error:
            others.append(error)

    def batches() -> Any:
        for _ in range(2):  # the first is asked for before anything runs
            thread = threading.Thread(target=second)
            thread.start()
            thread.join(LIMIT)
            yield ROWS[:4], ROWS[:4]

    model.fit(batches(), verbose=0)
    assert len(others) == 2
    assert all("is being trained already" in str(other) for other in others)
    model.fit(ROWS, ROWS, verbose=0)  # and later it may


def test_two_models_that_share_weights_are_not_trained_at_once() -> None:
    first = growing()
    second = kgraph.Model(first.inputs[0], layers.Rescaling(2.0)(first.outputs[0]))
    second.compile("sgd", upwards)
    refused: list[StateError] = []

    def train_the_other(batch: int, logs: Any) -> None:
        with pytest.raises(StateError, match="is being trained already") as raised:
            second.fit(ROWS, ROWS, verbose=0)
        refused.append(raised.value)

    step = kgraph.callbacks.LambdaCallback(on_train_batch_end=train_the_other)
    first.fit(ROWS[:2], ROWS[:2], batch_size=1, verbose=0, callbacks=[step])
    assert "growing/first" in str(refused[0])
    second.fit(ROWS, ROWS, verbose=0)


def test_threads_that_predict_first_share_weights_and_executable() -> None:
    model = kgraph.Sequential([kgraph.Input((4,)), layers.Dense(3)])
    start, found = threading.Barrier(8), []

    def predict() -> None:
        start.wait(LIMIT)
        found.append(model.predict(np.ones((5, 4), np.float32), verbose=0))

    threads = [threading.Thread(target=predict) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert len(found) == 8
    for one in found:
        np.testing.assert_array_equal(one, found[0])
    assert len(model.compile_report()) == 1


@pytest.mark.parametrize("use", ["predict", "call"])
def test_the_device_works_for_several_threads_at_once(use: str) -> None:
    met = threading.Barrier(2)

    class Meets(layers.Layer):
        """Waits on the device for the other thread to be there."""

        def call(self, inputs: Any) -> Any:
            return jax.pure_callback(self.meet, inputs, inputs)

        def meet(self, array: Any) -> np.ndarray:
            if ready.is_set():
                met.wait(LIMIT)
            return np.asarray(array)

    ready = threading.Event()
    inputs = kgraph.Input((2,))
    model = kgraph.Model(inputs, Meets()(inputs))
    uses: dict[str, Callable[[], Any]] = {
        "predict": lambda: model.predict(ROWS, verbose=0),
        "call": lambda: model(ROWS).block_until_ready(),
    }
    with ThreadPoolExecutor(2) as pool:
        pool.submit(uses[use]).result(LIMIT)  # compiled by one
        ready.set()
        for result in [pool.submit(uses[use]) for _ in range(2)]:
            result.result(LIMIT)


def test_nothing_is_copied_where_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[Any] = []
    real = finished_blocks.copied
    monkeypatch.setattr(finished_blocks, "copied", lambda tree: copies.append(1) or real(tree))
    model = growing()
    show = kgraph.callbacks.LambdaCallback(on_train_batch_end=lambda *_: model.get_weights())
    model.fit(ROWS, ROWS, batch_size=8, epochs=2, verbose=0, validation_data=(ROWS, ROWS))
    model.fit(ROWS, ROWS, batch_size=8, verbose=0, callbacks=[show])
    assert not copies


def test_a_display_is_told_of_its_own_thread_alone() -> None:
    compiler = Compiler()
    mine: list[Any] = []
    with compiler.telling(mine.append):
        work = threading.Thread(
            target=compiler.compile, args=("other", lambda x: x, (), (), (jnp.ones(3),))
        )
        work.start()
        work.join(LIMIT)
        assert not mine
        assert len(compiler.entries) == 1
        compiler.compile("own", lambda x: x + 1, (), (), (jnp.ones(3),))
    assert mine == [None, compiler.entries[-1]]
