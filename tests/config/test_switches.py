"""Limits of runs, where text goes, and the switches that have one position."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest

import kgraph
from kgraph import config, utils
from kgraph.config import _limit_from_environment
from kgraph.errors import ConfigError
from kgraph.training.console import announce

X, Y = np.ones((128, 3), "float32"), np.ones((128, 1), "float32")


@pytest.fixture(scope="module")
def model():
    model = kgraph.Sequential([kgraph.Input((3,)), kgraph.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


class Steps(kgraph.callbacks.Callback):
    def __init__(self):
        self.count = {"train": 0, "test": 0, "predict": 0}

    def on_train_batch_end(self, batch, logs=None):
        self.count["train"] += 1

    def on_test_batch_end(self, batch, logs=None):
        self.count["test"] += 1

    def on_predict_batch_end(self, batch, logs=None):
        self.count["predict"] += 1


def test_limits_cut_epochs_and_steps(model):
    config.set_max_epochs(2)
    config.set_max_steps_per_epoch(2)
    assert (config.max_epochs(), config.max_steps_per_epoch()) == (2, 2)
    steps = Steps()
    with pytest.warns(UserWarning, match="is limited to 2") as caught:
        history = model.fit(X, Y, epochs=5, validation_data=(X, Y), callbacks=[steps], verbose=0)
    told = [str(warning.message).partition(" ")[0] for warning in caught]
    assert told == ["epochs", "steps_per_epoch", "steps_per_epoch"]
    assert {warning.filename for warning in caught} == {__file__}
    assert history.epoch == [0, 1]
    assert steps.count == {"train": 4, "test": 4, "predict": 0}  # 128 rows are 4 batches
    assert len(model.predict(X, verbose=0)) == len(X)  # a row for each that was given
    with pytest.warns(UserWarning, match="steps_per_epoch is limited"):
        model.evaluate(X, Y, verbose=0, callbacks=[steps])
    assert steps.count["test"] == 6


def test_limits_that_are_not_reached_say_nothing(model):
    config.set_max_epochs(2)
    config.set_max_steps_per_epoch(4)
    model.fit(X, Y, batch_size=32, epochs=2, steps_per_epoch=4, verbose=0)


def test_a_limit_in_the_environment_is_a_number(monkeypatch):
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "many")
    with pytest.raises(ConfigError, match=r"KERAS_MAX_EPOCHS is a whole number[\s\S]*'many'"):
        _limit_from_environment("KERAS_MAX_EPOCHS")
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "")
    assert _limit_from_environment("KERAS_MAX_EPOCHS") is None


@pytest.mark.slow
def test_limits_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "4")
    monkeypatch.setenv("KERAS_MAX_STEPS_PER_EPOCH", "5")
    code = "from kgraph import config as c; print(c.max_epochs(), c.max_steps_per_epoch())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["4", "5"], done.stderr


def test_limits_are_whole_numbers():
    for function in (config.set_max_epochs, config.set_max_steps_per_epoch):
        for value in (0, 1.5, True, "3"):
            with pytest.raises(ConfigError, match="whole number of at least 1, or None"):
                function(value)


def test_text_goes_to_the_log_if_wanted(model, capsys, caplog):
    caplog.set_level(logging.INFO, logger="kgraph")
    assert utils.is_interactive_logging_enabled()
    config.disable_interactive_logging()
    assert not config.is_interactive_logging_enabled()
    model.fit(X, Y, epochs=2)
    model.summary()
    announce("a note")
    bar = utils.Progbar(2)
    bar.update(2)
    assert capsys.readouterr().out == ""
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "Epoch 1/2"
    assert lines[1].startswith("4/4 - 0s")
    assert any(line.startswith("Total params") for line in lines)
    assert lines[-2] == "a note"
    assert lines[-1].startswith("2/2 ")
    utils.enable_interactive_logging()
    model.fit(X, Y)
    assert "loss" in capsys.readouterr().out


def test_there_is_one_backend():
    assert config.backend() == "jax"
    config.set_backend("jax")
    with pytest.raises(ConfigError, match=r"JAX alone[\s\S]*'torch'"):
        config.set_backend("torch")
    assert config.is_nnx_enabled() is False
