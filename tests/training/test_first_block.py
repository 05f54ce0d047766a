"""Initial values are drawn while XLA makes the first block: the order of events, and no more."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import kgraph
from kgraph import layers, optimizers
from kgraph.compiler.executables import Making
from kgraph.training import compilation

X = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
Y = X[:, :1]
HOWS = ("arrays", "batches", "one batch")


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens, in its order; "compile" whenever XLA begins."""
    found: list[str] = []

    class Told(Making):
        def __init__(self, lowered: Any, options: Any) -> None:
            found.append("compile")
            super().__init__(lowered, options)

    monkeypatch.setattr(compilation, "Making", Told)
    compilation.forget_shared()
    return found


def drawing(events: list[str]) -> Any:
    def draw(shape: Any, dtype: Any = None) -> np.ndarray:
        events.append("draw")
        return np.full(shape, 0.5, dtype)

    return draw


def model_of(initializer: Any, optimizer: Any = "sgd", **options: Any) -> Any:
    inputs = kgraph.Input((3,))
    outputs = layers.Dense(1, kernel_initializer=initializer)(layers.BatchNormalization()(inputs))
    model = kgraph.Model(inputs, outputs)
    model.compile(optimizer, **{"loss": "mse", **options})
    return model


def train(model: Any, how: str, **options: Any) -> None:
    if how == "arrays":
        model.fit(X, Y, batch_size=8, verbose=0, **options)
    elif how == "batches":
        model.fit(((X[i : i + 8], Y[i : i + 8]) for i in (0, 8)), verbose=0, **options)
    else:
        model.train_on_batch(X, Y)


def trainings(model: Any) -> list[str]:
    return [e.function for e in model.compile_report() if e.function.startswith("train")]


@pytest.mark.parametrize("how", HOWS)
def test_xla_is_at_the_first_block_when_values_are_drawn(events: list[str], how: str) -> None:
    model = model_of(drawing(events))
    train(model, how)
    assert events[:2] == ["compile", "draw"]
    assert events.count("draw") == 1
    assert len(trainings(model)) == 1  # what was begun is what runs


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: optimizers.Adam(use_ema=True, gradient_accumulation_steps=2),
        lambda: optimizers.LossScaleOptimizer(optimizers.Muon()),
        optimizers.Adafactor,
        lambda: optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 5, 0.5), momentum=0.9),
    ],
)
def test_shapes_tell_the_state_of_every_optimizer(events: list[str], optimizer: Any) -> None:
    model = model_of("zeros", optimizer(), metrics=["mae"])
    train(model, "arrays")
    assert len(trainings(model)) == 1
    assert events.count("compile") == 2  # the step, and the numbers that are shown


def test_on_several_devices_too(events: list[str]) -> None:
    model = model_of(drawing(events), distribution=kgraph.distribution.DataParallel())
    train(model, "arrays")
    assert events[:2] == ["compile", "draw"]
    assert len(trainings(model)) == 1


def test_a_second_fit_has_nothing_to_draw(events: list[str]) -> None:
    model = model_of(drawing(events))
    train(model, "arrays")
    model.optimizer = optimizers.Adam()
    events.clear()
    train(model, "arrays")
    assert "draw" not in events
    assert len(trainings(model)) == 2


@pytest.mark.parametrize("lambdas", [False, True])
def test_what_a_callback_changes_at_the_beginning_is_part_of_the_step(lambdas: bool) -> None:
    weight = {"of": 1.0}

    def loss(y_true: Any, y_pred: Any) -> Any:
        return weight["of"] * jax.numpy.mean((y_true - y_pred) ** 2, axis=-1)

    class Begins(kgraph.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            weight["of"] = 0.0

    callback = Begins()
    if lambdas:
        callback = kgraph.callbacks.LambdaCallback(on_train_begin=Begins().on_train_begin)
    model = model_of("ones", loss=loss)
    history = model.fit(X, Y, verbose=0, callbacks=[callback])
    assert history.history["loss"] == [0.0]


def test_an_error_of_an_initializer_is_raised_where_fit_is_called() -> None:
    def breaks(shape: Any, dtype: Any = None) -> Any:
        raise RuntimeError("no numbers today")

    model = model_of(breaks)
    with pytest.raises(RuntimeError, match="no numbers today"):
        train(model, "arrays")
    model.layers[-1].kernel.assign(np.zeros((3, 1), np.float32))
    train(model, "arrays")
    assert len(trainings(model)) == 1


def test_an_error_of_xla_is_raised_where_fit_is_called(
    events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Making) -> Any:
        raise RuntimeError("out of memory")

    model = model_of(drawing(events))
    with monkeypatch.context() as broken:
        broken.setattr(Making, "result", fails)
        with pytest.raises(RuntimeError, match="out of memory"):
            train(model, "arrays")
    train(model, "arrays")
    assert events.count("draw") == 1
