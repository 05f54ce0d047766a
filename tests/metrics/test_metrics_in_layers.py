"""Metrics that a layer holds and updates in its `call`.

Keras on JAX fails on them in `fit`; here they are reset with the other metrics, and logged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import StateError

X = np.arange(12, dtype="float32").reshape(6, 2)
Y = X[:, :1]


def watching(api: Any) -> Any:
    class Watching(api.layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.mean = api.metrics.Mean(name="size")
            self.most = [api.metrics.Sum(name="rows")]

        def call(self, inputs):
            self.mean.update_state(api.ops.mean(inputs))
            self.most[0].update_state(api.ops.ones((inputs.shape[0],)))
            return inputs

    return Watching


def model_of(api: Any = kgraph, known: Any = None) -> Any:
    inputs = api.Input((2,))
    outputs = api.layers.Dense(1)((known or watching(api))(name="watch")(inputs))
    return api.Model(inputs, outputs)


def test_they_are_logged_and_begin_anew_with_each_epoch_and_evaluation():
    model = model_of()
    model.compile("sgd", "mse")
    history = model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    assert history["size"] == pytest.approx([6.5, 6.5])  # of the batches: 3.5 and 9.5
    assert history["rows"] == pytest.approx([6.0, 6.0])
    found = model.evaluate(X[:2], Y[:2], batch_size=1, verbose=0, return_dict=True)
    assert found["size"] == pytest.approx(1.5)
    assert found["rows"] == pytest.approx(2.0)
    history = model.fit(X, Y, batch_size=3, validation_data=(X[:2], Y[:2]), verbose=0).history
    assert history["size"] == pytest.approx([5.5])
    assert history["val_size"] == pytest.approx([1.5])


def test_they_are_state_and_no_weights():
    model, theirs = model_of(), model_of(keras)
    assert [m.name for m in model.metrics] == [m.name for m in theirs.metrics] == ["size", "rows"]
    assert len(model.weights) == len(theirs.weights) == 2
    with jax.numpy_rank_promotion("allow"):
        for each in (model, theirs):
            each(X)
            each(X)
    ours, others = model.get_layer("watch"), theirs.get_layer("watch")
    assert float(ours.mean.result()) == pytest.approx(float(others.mean.result()))
    assert float(ours.most[0].result()) == float(others.most[0].result()) == 12.0


def test_a_loss_of_the_models_own_updates_another_one():
    class Own(kgraph.Model):
        def __init__(self, **options):
            super().__init__(**options)
            self.watch, self.head = watching(kgraph)(), kgraph.layers.Dense(1)
            self.size = kgraph.metrics.Mean(name="own")

        def call(self, inputs, training=None, mask=None):
            self.size.update_state(float(X.shape[0] // 2))
            return self.head(self.watch(inputs))

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            self.size.update_state(0.0)
            return super().compute_loss(x, y, y_pred, sample_weight)

    model = Own()
    model.compile("sgd", "mse")
    history = model.fit(X, Y, batch_size=3, epochs=2, verbose=0).history
    assert history["own"] == pytest.approx([1.5, 1.5])  # 3 rows, and 0, in turn
    assert history["rows"] == pytest.approx([6.0, 6.0])


@pytest.mark.filterwarnings("ignore:.*registered:UserWarning")
@pytest.mark.parametrize("name", ["m.kgraph", "m.keras"])
def test_files_come_back_and_go_to_keras(name: str, tmp_path: Path):
    model, known = model_of(), {"Watching": watching(kgraph)}
    model.save(tmp_path / name)
    again = kgraph.models.load_model(tmp_path / name, custom_objects=known)
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    if name.endswith(".keras"):
        theirs = {"Watching": watching(keras)}
        loaded: Any = keras.models.load_model(tmp_path / name, custom_objects=theirs)
        loaded.save(tmp_path / "back.keras")
        back = kgraph.models.load_model(tmp_path / "back.keras", custom_objects=known)
        np.testing.assert_array_equal(back.get_weights()[0], model.get_weights()[0])


def test_a_step_of_the_models_own_refuses_them_by_name():
    class Stepping(kgraph.Model):
        def train_step(self, state, data):
            return super().train_step(state, data)

    inputs = kgraph.Input((2,))
    model = Stepping(inputs, kgraph.layers.Dense(1)(watching(kgraph)()(inputs)))
    model.compile("sgd", "mse")
    with pytest.raises(StateError, match=r"train_step of .* 'size/total'"):
        model.fit(X, Y, verbose=0)
