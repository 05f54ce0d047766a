"""The same model, weights and order of data in Keras and kgraph: equal logs, equal weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from fit_models import CASES, FitCase

import kgraph

# Two float32 implementations that round differently, over a few dozen optimizer steps.
TOLERANCE = {"rtol": 2e-4, "atol": 2e-5}


def _trained(api: Any, case: FitCase, weights: list[np.ndarray] | None) -> tuple[Any, Any, Any]:
    model = case.build(api)
    if weights is not None:
        model.set_weights(weights)
    start = model.get_weights()
    model.compile(**case.options(api))
    x, y = case.data()
    history = model.fit(x, y, epochs=3, shuffle=False, verbose=0, **case.fit)
    return model, history, start


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_training_equals_keras(case: FitCase, relaxed: None) -> None:
    theirs, their_history, start = _trained(keras, case, None)
    ours, our_history, _ = _trained(kgraph, case, start)
    assert sorted(our_history.history) == sorted(their_history.history)
    for key, values in their_history.history.items():
        np.testing.assert_allclose(our_history.history[key], values, **TOLERANCE, err_msg=key)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, **TOLERANCE)
    x, y = case.data()
    mine = ours.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
    other = theirs.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
    assert sorted(mine) == sorted(other)
    for key, value in other.items():
        np.testing.assert_allclose(mine[key], value, **TOLERANCE, err_msg=key)
    mine, other = ours.predict(x, verbose=0), theirs.predict(x, verbose=0)
    for a, b in zip(*([m] if isinstance(m, np.ndarray) else m for m in (mine, other)), strict=True):
        np.testing.assert_allclose(a, b, **TOLERANCE)


@pytest.mark.parametrize("id", ["sparse", "lists"])
def test_evaluate_lists_values_in_keras_order(id: str, relaxed: None) -> None:
    case = next(case for case in CASES if case.id == id)
    theirs, _, start = _trained(keras, case, None)
    ours, _, _ = _trained(kgraph, case, start)
    x, y = case.data()
    np.testing.assert_allclose(
        ours.evaluate(x, y, verbose=0), theirs.evaluate(x, y, verbose=0), **TOLERANCE
    )


def test_train_and_test_on_batch_equal_keras(relaxed: None) -> None:
    case = CASES[0]
    theirs, ours = case.build(keras), case.build(kgraph)
    ours.set_weights(theirs.get_weights())
    x, y = case.data()
    for api, model in ((keras, theirs), (kgraph, ours)):
        model.compile(**case.options(api))
    for low in (0, 8, 16):
        part = slice(low, low + 8)
        mine = ours.train_on_batch(x[part], y[part])
        other = theirs.train_on_batch(x[part], y[part])
        np.testing.assert_allclose(mine, [float(v) for v in other], **TOLERANCE)
    mine, other = ours.test_on_batch(x, y), theirs.test_on_batch(x, y)
    np.testing.assert_allclose(mine, [float(v) for v in other], **TOLERANCE)
    np.testing.assert_allclose(
        ours.predict_on_batch(x), np.asarray(theirs.predict_on_batch(x)), **TOLERANCE
    )
