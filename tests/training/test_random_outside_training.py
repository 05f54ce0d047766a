"""Layers called with `training=True` are random in predict, evaluate and calls as well."""

from __future__ import annotations

import numpy as np
import pytest

import kgraph
from kgraph import Input, Layer, Model
from kgraph.layers import Dropout, MultiHeadAttention

ROWS = np.ones((60, 4), np.float32)


class Always(Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.dropout = Dropout(0.5)

    def call(self, inputs):
        return self.dropout(inputs, training=True)


class Defined(Model):
    def __init__(self):
        super().__init__()
        self.dropout = Dropout(0.5)

    def call(self, inputs):
        return self.dropout(inputs, training=True)


def direct() -> Model:
    inputs = Input((4,))
    return Model(inputs, Dropout(0.5)(inputs, training=True))


def in_a_layer() -> Model:
    inputs = Input((4,))
    return Model(inputs, Always()(inputs))


def nested() -> Model:
    inputs, outer = Input((4,)), Input((4,))
    inner = Model(inputs, Dropout(0.5)(inputs))
    return Model(outer, inner(outer, training=True))


@pytest.mark.parametrize("build", [direct, in_a_layer, nested, Defined])
def test_predictions_are_random_in_every_call_and_batch(build):
    model = build()
    once = model.predict(ROWS, batch_size=20, verbose=0)
    again = model.predict(ROWS, batch_size=20, verbose=0)
    from_batches = model.predict((ROWS[i : i + 20] for i in (0, 20, 40)), verbose=0)
    called = np.asarray(model(ROWS))
    for found in (once, again, from_batches, called):
        assert set(np.unique(found)) == {0, 2}
        parts = found.reshape(3, 20, 4)
        assert (parts[0] != parts[1]).any()
        assert (parts[1] != parts[2]).any()
    assert (once != again).any()


def test_a_seed_decides_predictions():
    found = []
    for _ in range(2):
        kgraph.utils.set_random_seed(5)
        found.append(direct().predict(ROWS, verbose=0))
    np.testing.assert_array_equal(*found)


@pytest.mark.filterwarnings("ignore:No weight of the model is trained")
def test_evaluation_is_random_and_validation_goes_along():
    model = direct()
    model.compile("sgd", "mse")
    # Each draw gives another sum: with few different errors two losses would agree now and then.
    targets = np.linspace(0, 2, 240, dtype=np.float32).reshape(60, 4) ** 2
    losses = {model.evaluate(ROWS, targets, batch_size=10, verbose=0) for _ in range(2)}
    assert len(losses) == 2
    assert all(1.8 < loss < 3.4 for loss in losses)
    history = model.fit(ROWS, targets, epochs=2, verbose=0, validation_data=(ROWS, targets)).history
    assert history["val_loss"][0] != history["val_loss"][1]


def test_only_what_is_always_random_needs_a_key():
    inputs = Input((3, 4))
    attended = MultiHeadAttention(1, 2, dropout=0.5)(inputs, inputs)
    assert not kgraph.lower(Model(inputs, Dropout(0.5)(attended))).draws_always
    assert kgraph.lower(direct()).draws_always


def test_each_batch_of_an_evaluation_draws_anew():
    model = direct()
    model.compile("sgd", "mse")
    targets = np.tile(np.where(np.arange(80).reshape(20, 4) % 3, 2, 0), (3, 1)).astype(np.float32)
    losses = []
    for rows in (20, 60):  # three equal batches would have the loss of one
        kgraph.utils.set_random_seed(5)
        losses.append(model.evaluate(ROWS[:rows], targets[:rows], batch_size=20, verbose=0))
    assert abs(losses[0] - losses[1]) > 1e-3
