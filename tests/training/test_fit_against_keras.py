"""The same model, weights and order of data in Keras and kgraph: equal logs, equal weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from fit_models import CASES, FitCase
from fit_oracle import TOLERANCE, assert_trains_as_keras, trained

import kgraph


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_training_equals_keras(case: FitCase, relaxed: None) -> None:
    assert_trains_as_keras(case)


@pytest.mark.parametrize("id", ["sparse", "lists"])
def test_evaluate_lists_values_in_keras_order(id: str, relaxed: None) -> None:
    case = next(case for case in CASES if case.id == id)
    theirs, _, start = trained(keras, case, None)
    ours, _, _ = trained(kgraph, case, start)
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
