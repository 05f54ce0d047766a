"""Blocks of steps: how many go to the device at once changes no bit of the result."""

from __future__ import annotations

from typing import Any

import engine_runs as runs
import numpy as np
import pytest
from engine_runs import BATCH, LABELS, ROWS, WEIGHTS, X, assert_same, compiled, trained

from kgraph.callbacks import Callback
from kgraph.compiler import DEFAULT_PASSES
from kgraph.data import ArraySource
from kgraph.models import data as model_data
from kgraph.training import engine as engines

MODELS = {
    "dropout": (runs.dropping, X),
    "batch statistics": (runs.normalized, X),
    "masked LSTM": (runs.recurrent, runs.WORDS),
    "convolution": (runs.convolutional, runs.IMAGES),
}
CASES = [
    pytest.param(*case, id=name, marks=[pytest.mark.slow] if name != "dropout" else [])
    for name, case in MODELS.items()
]


class Listener(Callback):
    """Writes down which batch hooks were called, and the logs of each."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.logs: list[dict[str, float]] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.calls.append(("begin", batch))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.calls.append(("end", batch))
        self.logs.append(dict(logs))


@pytest.mark.parametrize(("build", "x"), CASES)
def test_the_size_of_blocks_changes_nothing(build: Any, x: Any, monkeypatch: Any) -> None:
    expected = trained(compiled(build, steps_per_execution=1), x)
    for size in (3, 1000, "auto"):
        assert_same(expected, trained(compiled(build, steps_per_execution=size), x))
    listener = Listener()
    assert_same(expected, trained(compiled(build), x, callbacks=[listener]))
    one_epoch = [(hook, i) for i in range(4) for hook in ("begin", "end")]
    assert listener.calls == 2 * one_epoch
    assert [listener.logs[3], listener.logs[7]] == [
        {key: values[epoch] for key, values in expected.logs.items()} for epoch in range(2)
    ]
    monkeypatch.setattr(engines, "loops_well", lambda *_: False)
    assert_same(expected, trained(compiled(build), x))


def test_convolutions_loop_on_a_cpu_only_in_the_forms_for_it() -> None:
    def loops(build: Any, x: Any, **options: Any) -> bool:
        return trained(compiled(build, **options), x, epochs=1).model._kgraph.trainer.engine._loops

    assert loops(runs.mlp, X)
    assert loops(runs.convolutional, runs.IMAGES)
    assert not loops(runs.convolutional, runs.IMAGES, passes=DEFAULT_PASSES)


@pytest.mark.parametrize("shuffle", [True, False, "batch"])
@pytest.mark.parametrize("wanted", [None, 2], ids=["whole passes", "halves of passes"])
def test_rows_come_in_the_order_of_the_source(shuffle: Any, wanted: Any) -> None:
    epochs = 2 if wanted is None else 3
    run = trained(compiled(), epochs=epochs, shuffle=shuffle, seed=7, steps_per_epoch=wanted)
    source = ArraySource(X, LABELS, None, BATCH, shuffle, 7, wanted)
    model, losses = compiled(), []
    for epoch in range(epochs):
        losses += model.fit(list(source.epoch(epoch)), verbose=0, seed=7).history["loss"]
    assert_same(run, runs.Run(model, {**run.logs, "loss": losses}))


def test_an_epoch_that_is_too_short_says_so() -> None:
    with pytest.warns(UserWarning, match=r"epoch 2: 3 batches were wanted and 1 given"):
        trained(compiled(), steps_per_epoch=3)


def test_weights_of_rows_and_classes_reach_the_loss() -> None:
    by_class = np.array([2.0, 0.5, 1.0], "float32")
    plain = trained(compiled())
    weighed = trained(compiled(), sample_weight=by_class[LABELS])
    assert_same(weighed, trained(compiled(), class_weight={0: 2.0, 1: 0.5, 2: 1.0}))
    assert weighed.logs["loss"] != plain.logs["loss"]
    batches = [(*b, WEIGHTS[i * BATCH : (i + 1) * BATCH]) for i, b in enumerate(runs.cut())]
    rows = trained(compiled(), sample_weight=WEIGHTS, shuffle=False, seed=0)
    assert_same(rows, trained(compiled(), batches, seed=0))


@pytest.mark.parametrize("rows", [1, 3])
def test_a_batch_larger_than_the_data_is_all_of_them(rows: int) -> None:
    run = trained(compiled(), X[:rows], LABELS[:rows], batch_size=32, shuffle=False, epochs=1)
    model = compiled()
    loss, accuracy = model.train_on_batch(X[:rows], LABELS[:rows])
    assert run.logs == {"loss": [loss], "accuracy": [accuracy]}
    for one, other in zip(run.model.get_weights(), model.get_weights(), strict=True):
        # Two executables: jax 0.12 rounds the sum over one row in another place.
        np.testing.assert_array_max_ulp(one, other, 2)


def test_arrays_too_large_for_the_device_give_the_same_bits(monkeypatch: Any) -> None:
    held = {"validation_data": (X[:7], LABELS[:7])}
    expected = trained(compiled(runs.dropping), seed=3, **held)
    assert expected.model._kgraph.trainer.engine._last_batch is None
    monkeypatch.setattr(model_data, "fits_on_device", lambda *_: False)
    streamed = trained(compiled(runs.dropping), seed=3, **held)
    assert [e.function for e in streamed.model.compile_report()].count("train") == 0
    assert_same(expected, streamed)


def test_the_same_model_takes_epochs_of_other_lengths() -> None:
    model = compiled()
    for steps in (2, None, 1):
        trained(model, steps_per_epoch=steps, epochs=1, shuffle=False)
    assert int(model._kgraph.trainer.state()["step"]) == 2 + -(-ROWS // BATCH) + 1
