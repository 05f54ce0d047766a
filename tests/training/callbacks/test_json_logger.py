"""JSONLogger: one line for each epoch and batch, however often training is started again."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import kgraph
from kgraph.callbacks import CallbackList, JSONLogger
from kgraph.errors import ConfigError


def run(path, epochs, batches=4, first=0, logs=None, **options):
    """Plays the hooks of a training: `epochs` is a range."""
    told = CallbackList(JSONLogger(path, **options))
    told.on_train_begin()
    for epoch in epochs:
        told.on_epoch_begin(epoch)
        for batch in range(first, batches):
            told.on_train_batch_end(batch, {"loss": epoch + batch / 8})
        first = 0
        told.on_epoch_end(epoch, {"loss": float(epoch), **(logs or {})})


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_fit_writes_its_history(tmp_path):
    x = np.arange(12.0, dtype="float32").reshape(6, 2)
    inputs = kgraph.Input((2,))
    model = kgraph.Model(inputs, kgraph.layers.Dense(1)(inputs))
    model.compile("adam", "mse", metrics=["mae"])
    path = tmp_path / "logs" / "run.jsonl"
    logger = JSONLogger(path)
    assert not logger.wants_batches("train")
    history = model.fit(
        x, x[:, :1], epochs=2, verbose=0, callbacks=[logger], validation_data=(x, x[:, :1])
    )
    found = lines(path)
    assert [line.pop("epoch") for line in found] == [0, 1]
    assert {key: [line[key] for line in found] for key in found[0]} == history.history


def test_a_run_that_is_started_again_leaves_one_line_for_each_epoch(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(whole, range(5))
    run(cut, range(3))
    with open(cut, "a") as file:
        file.write('{"epoch": 3, "los')  # killed while it wrote
    run(cut, range(2, 5))  # the last checkpoint was from before epoch 2
    assert cut.read_bytes() == whole.read_bytes()
    assert [line["epoch"] for line in lines(cut)] == [0, 1, 2, 3, 4]
    run(cut, range(1))
    assert [line["epoch"] for line in lines(cut)] == [0]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["cut", "whole"]


def test_a_run_that_goes_on_within_an_epoch_leaves_one_line_for_each_batch(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(whole, range(3), update_freq="batch")
    run(cut, range(2), update_freq="batch")
    run(cut, range(1, 3), first=2, update_freq="batch")
    assert cut.read_bytes() == whole.read_bytes()
    places = [(line["epoch"], line.get("batch")) for line in lines(cut)]
    assert places[3:6] == [(0, 3), (0, None), (1, 0)]
    run(cut, range(1), update_freq=3)
    assert [line.get("batch") for line in lines(cut)] == [2, None]


def test_numbers_that_are_not_finite_and_arrays_are_valid_json(tmp_path):
    logs = {"a": math.nan, "b": -math.inf, "c": np.array([1.0, np.nan]), "d": np.float32(0.5)}
    run(tmp_path / "log", range(1), logs=logs)
    text = (tmp_path / "log").read_text()
    assert text == '{"epoch": 0, "loss": 0.0, "a": null, "b": null, "c": [1.0, null], "d": 0.5}\n'


def test_a_file_of_another_kind_is_left_alone(tmp_path):
    path = tmp_path / "notes"
    path.write_text("my notes\n")
    with pytest.raises(ConfigError, match=r"no log of JSONLogger[\s\S]*'my notes'"):
        run(path, range(1))
    assert path.read_text() == "my notes\n"
    with pytest.raises(ConfigError, match=r"update_freq[\s\S]*'epochs'"):
        JSONLogger(path, update_freq="epochs")
