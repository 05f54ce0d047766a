"""Trains the same model in Keras and in kgraph, and compares everything that users see."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from fit_models import FitCase

import kgraph

# Two float32 implementations that round differently, over a few dozen optimizer steps.
TOLERANCE = {"rtol": 2e-4, "atol": 2e-5}


def trained(api: Any, case: FitCase, weights: list[np.ndarray] | None) -> tuple[Any, Any, Any]:
    """Returns the trained model, its history, and the weights it started from."""
    # From some starts Keras' Circle gives NaN, and from some a score lies on a metric's threshold.
    keras.utils.set_random_seed(2)
    model = case.build(api)
    if weights is not None:
        model.set_weights(weights)
    start = model.get_weights()
    model.compile(**case.options(api))
    x, y = case.data()
    fit = {"epochs": 3, "shuffle": False, "verbose": 0, **case.fit}
    history = model.fit(x, y, **fit)
    return model, history, start


def assert_trains_as_keras(case: FitCase) -> Any:
    """Asserts equal history, weights, evaluation and predictions; returns both models."""
    theirs, their_history, start = trained(keras, case, None)
    ours, our_history, _ = trained(kgraph, case, start)
    assert our_history.epoch == their_history.epoch
    assert_same_logs(our_history.history, their_history.history)
    assert_same_arrays(ours.get_weights(), theirs.get_weights())
    x, y = case.data()
    assert_same_logs(
        *(m.evaluate(x, y, batch_size=16, verbose=0, return_dict=True) for m in (ours, theirs))
    )
    assert_same_arrays(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))
    return ours, theirs


def assert_same_logs(mine: dict[str, Any], other: dict[str, Any]) -> None:
    """Asserts the same keys and numbers."""
    assert sorted(mine) == sorted(other)
    for key, value in other.items():
        np.testing.assert_allclose(mine[key], value, **TOLERANCE, err_msg=key)


def assert_same_arrays(mine: Any, other: Any) -> None:
    """Asserts equal arrays in the same order; a single one stands for a list."""
    for a, b in zip(*([m] if isinstance(m, np.ndarray) else m for m in (mine, other)), strict=True):
        np.testing.assert_allclose(a, b, **TOLERANCE)
