"""Options of optimizers, schedules and learning rates in `fit`: the weights of Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from fit_models import ROWS, FitCase, mlp, normalized, plain_data, sparse
from fit_oracle import TOLERANCE, assert_same_arrays, assert_same_logs, assert_trains_as_keras

import kgraph


def _case(id: str, optimizer: Callable[[Any], Any], **fit: Any) -> FitCase:
    return FitCase(
        id,
        normalized,
        lambda api: {**sparse(api), "optimizer": optimizer(api.optimizers)},
        plain_data,
        {"batch_size": 16, **fit},
    )


CASES = [
    _case("clip, decay, average", lambda o: o.Adam(
        0.05, clipnorm=0.1, weight_decay=0.02, use_ema=True, ema_momentum=0.7)),
    _case("average put in place", lambda o: o.SGD(
        0.1, momentum=0.9, nesterov=True, global_clipnorm=0.5, use_ema=True,
        ema_overwrite_frequency=4)),
    _case("accumulated", lambda o: o.SGD(0.1, momentum=0.5, gradient_accumulation_steps=2)),
    _case("scaled by a number", lambda o: o.Adam(0.02, clipvalue=0.05, loss_scale_factor=64.0)),
    _case("scaled and growing", lambda o: o.LossScaleOptimizer(o.Adam(0.02), 2.0**10, 4)),
    _case("by path", lambda o: o.MultiOptimizer(o.OptimizerMap(
        o.Adam(0.02), {"y/.*": o.SGD(0.1, momentum=0.9, weight_decay=0.01)}))),
    _case("exponential", lambda o: o.SGD(o.schedules.ExponentialDecay(0.2, 2, 0.5, True))),
    _case("cosine", lambda o: o.Adam(
        o.schedules.CosineDecay(0.001, 6, 0.1, warmup_target=0.05, warmup_steps=3))),
    _case("restarts", lambda o: o.RMSprop(o.schedules.CosineDecayRestarts(0.02, 3))),
    _case("piecewise", lambda o: o.SGD(o.schedules.PiecewiseConstantDecay([2, 5], [0.2, 0.1, 0.01]),
                                       momentum=0.9)),
    _case("polynomial", lambda o: o.Adagrad(o.schedules.PolynomialDecay(0.1, 5, cycle=True))),
]  # fmt: skip
QUICK = ("clip, decay, average", "scaled and growing")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.id, marks=() if case.id in QUICK else pytest.mark.slow)
        for case in CASES
    ],
)
def test_training_equals_keras(case: FitCase, relaxed: None) -> None:
    assert_trains_as_keras(case)


def test_the_scale_recovers_from_an_overflow() -> None:
    """Gradients of 1e4 times the scale are not finite for a dozen steps: those are skipped."""
    x, y = plain_data()[0], np.full((ROWS, 4), 1e4, "float32")
    model = mlp(kgraph)
    model.compile(kgraph.optimizers.LossScaleOptimizer("adam", 2.0**126), "mse")
    before = model.get_weights()
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    assert_same_arrays(model.get_weights(), before)
    model.fit(x, y, batch_size=8, epochs=6, shuffle=False, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert not np.array_equal(model.get_weights()[0], before[0])


def test_training_goes_on_with_moments_and_a_new_rate(relaxed: None) -> None:
    x, y = plain_data()
    theirs, ours = mlp(keras), mlp(kgraph)
    ours.set_weights(theirs.get_weights())
    histories = []
    for api, model in ((kgraph, ours), (keras, theirs)):
        model.compile(**{**sparse(api), "optimizer": api.optimizers.Adam(0.05)})
        model.fit(x, y, shuffle=False, verbose=0, batch_size=16)
        model.optimizer.learning_rate = 0.01
        scheduler = api.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)
        fit = {"initial_epoch": 3, "epochs": 5, "callbacks": [scheduler]}
        histories.append(model.fit(x, y, shuffle=False, verbose=0, batch_size=16, **fit))
    assert histories[0].epoch == histories[1].epoch == [3, 4]
    assert_same_logs(histories[0].history, histories[1].history)
    np.testing.assert_allclose(histories[0].history["learning_rate"], [0.005, 0.0025], **TOLERANCE)
    assert_same_arrays(ours.get_weights(), theirs.get_weights())


@pytest.mark.slow
def test_a_frozen_part_is_trained_later_as_in_keras(relaxed: None) -> None:
    """BatchNormalization frozen with what is before it, then trained: two calls of compile."""
    x, y = plain_data()
    theirs, ours = normalized(keras), normalized(kgraph)
    ours.set_weights(theirs.get_weights())
    for api, model in ((kgraph, ours), (keras, theirs)):
        for trainable in (False, True):
            for layer in model.layers[1:3]:
                layer.trainable = trainable
            model.compile(**sparse(api))
            fit = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}
            model.fit(x, y, **fit, validation_data=(x[:9], y[:9]))
    assert_same_logs(ours.history.history, theirs.history.history)
    assert_same_arrays(ours.get_weights(), theirs.get_weights())
