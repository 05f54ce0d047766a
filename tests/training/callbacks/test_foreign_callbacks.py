"""Callbacks made for Keras, and those that end an evaluation or a prediction."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import ConfigError

X = np.ones((4, 2), np.float32)


@pytest.fixture
def model():
    model = kgraph.Sequential([kgraph.Input((2,)), kgraph.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    return model


class ForKeras(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append((epoch, sorted(logs), self.params["epochs"], self.model.name))


class Duck:
    def __init__(self):
        self.batches = []

    def set_model(self, model):
        self.model = model

    def on_train_batch_end(self, batch, logs):
        self.batches.append(batch)


def test_callbacks_of_others_are_called(model, tmp_path):
    own, duck = ForKeras(), Duck()
    saver = keras.callbacks.ModelCheckpoint(str(tmp_path / "m.keras"), monitor="loss", mode="min")
    stopper = keras.callbacks.EarlyStopping("loss", mode="min", min_delta=1e9)
    model.fit(X, X[:, :1], batch_size=2, epochs=3, verbose=0, callbacks=[own, duck, saver, stopper])
    assert own.seen == [(e, ["loss", "mae"], 3, model.name) for e in range(2)]
    assert duck.batches == [0, 1, 0, 1]
    assert (tmp_path / "m.keras").exists()
    assert stopper.stopped_epoch == 1


def test_one_that_listens_to_epochs_does_not_slow_the_steps(model):
    calls = kgraph.callbacks.CallbackList([ForKeras()], model)
    assert not calls.wants_batches("train")
    assert kgraph.callbacks.CallbackList([Duck()], model).wants_batches("train")
    with pytest.raises(ConfigError, match="This is not a callback"):
        kgraph.callbacks.CallbackList([object()], model)


def test_evaluations_and_predictions_can_be_stopped(model):
    class Stop(kgraph.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            self.model.stop_evaluating = batch == 2

        def on_predict_batch_end(self, batch, logs=None):
            self.model.stop_predicting = batch == 1

    batches = itertools.repeat((X, X[:, :1]))
    assert model.evaluate(batches, callbacks=[Stop()], verbose=0)[0] >= 0
    assert model.predict(itertools.repeat((X,)), callbacks=[Stop()], verbose=0).shape == (8, 1)
    assert model.predict(X, verbose=0).shape == (4, 1)
    assert not model.stop_predicting


def test_further_keywords_of_a_lambda_callback_are_attributes():
    made = kgraph.callbacks.LambdaCallback(on_epoch_end=print, supports_tf_logs=True)
    assert made.supports_tf_logs is True
    with pytest.raises(ConfigError, match="on_epoch_and"):
        kgraph.callbacks.LambdaCallback(on_epoch_and=print)


def test_the_operation_of_early_stopping():
    for mode, op in (("min", np.less), ("max", np.greater)):
        assert kgraph.callbacks.EarlyStopping(mode=mode).monitor_op is op
    made = kgraph.callbacks.EarlyStopping("loss")
    assert made.monitor_op is None
    made.on_train_begin()
    assert made.monitor_op is np.less
