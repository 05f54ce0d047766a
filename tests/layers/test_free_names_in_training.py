"""Losses, metrics, optimizers and callbacks of the user's: names that Keras lacks are free."""

import copy

import keras
import numpy as np
import pytest
from free_names import WAYS, names_not_of, subclass

import kgraph
from kgraph.saving import load_model

X = np.ones((6, 3), "float32")
Y = np.ones((6, 2), "float32")
_METRIC = "build built add_total accumulate init update compute ensure_built"
DOCUMENTED = {kgraph.losses.Loss: set(), kgraph.metrics.Metric: set(_METRIC.split())}
"""What a class is meant to define, or to call, beyond Keras."""


class Gap(kgraph.losses.Loss):
    def call(self, y_true, y_pred):
        return abs(y_true - y_pred).mean(axis=-1)


class Total(kgraph.metrics.Metric):
    def __init__(self, **options):
        super().__init__(**options)
        self.seen = self.add_weight(shape=(), name="seen")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.seen = self.seen + 1

    def result(self):
        return self.seen


@pytest.mark.parametrize("way", [*WAYS, "property", "method"])
def test_any_name_may_be_used_in_a_loss_and_a_metric(way: str, tmp_path):
    loss_names = names_not_of(keras.losses.MeanSquaredError(), kgraph.losses.Loss())
    metric_names = names_not_of(keras.metrics.Mean(), kgraph.metrics.Metric(name="m"))
    metric_names = [n for n in metric_names if n not in ("build", "built")]
    loss, metric = subclass(Gap, loss_names, way), subclass(Total, metric_names, way)
    model = kgraph.Sequential([kgraph.Input((3,)), kgraph.layers.Dense(2)])
    model.compile("sgd", loss(), metrics=[metric(name="total")])
    before = model.get_weights()[0]
    history = model.fit(X, Y, batch_size=2, verbose=0).history
    assert history["total"] == [3]
    assert not np.array_equal(model.get_weights()[0], before)
    assert copy.deepcopy(model).evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    model.save(tmp_path / "model.kgraph")
    classes = {cls.__name__: cls for cls in (loss, metric)}
    loaded = load_model(tmp_path / "model.kgraph", custom_objects=classes)
    assert loaded.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)


@pytest.mark.parametrize("base", DOCUMENTED, ids=lambda cls: cls.__name__)
def test_they_offer_keras_names_and_the_documented_extras(base: type):
    theirs = {kgraph.losses.Loss: keras.losses.Loss, kgraph.metrics.Metric: keras.metrics.Mean}
    ours = {name for name in dir(base()) if not name.startswith("_")}
    assert ours - set(dir(theirs[base]())) == DOCUMENTED[base]
