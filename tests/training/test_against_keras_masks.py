"""Masks through recurrent layers into losses and metrics, while training.

Keras' own training metrics lose the mask, so the oracle gets it in another way: as sample weights,
with the loss and the metrics that are divided by the sum of the weights.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from fit_models import ROWS
from fit_oracle import assert_same_arrays, assert_same_logs

import kgraph

IDS = np.random.default_rng(7).integers(1, 11, (ROWS, 7))
LENGTHS = np.random.default_rng(8).integers(1, 8, ROWS)
X = np.where(np.arange(7) < LENGTHS[:, None], IDS, 0).astype("int32")
MASK = (X != 0).astype("float32")


def tagger(api: Any, recurrent: str) -> Any:
    inputs = api.Input((None,), dtype="int32", name="x")
    x = api.layers.Embedding(11, 5, mask_zero=True)(inputs)
    layer = getattr(api.layers, recurrent)(4, return_sequences=True)
    x = api.layers.Bidirectional(layer)(x) if recurrent == "GRU" else layer(x)
    x = api.layers.LayerNormalization()(x)
    return api.Model(inputs, api.layers.Dense(3, activation="softmax", name="y")(x))


def options(api: Any, loss: str, metrics: list[str]) -> dict[str, Any]:
    """Returns what gives masked means: for Keras through weights, for us through the mask."""
    made = getattr(api.losses, loss)
    if api is keras:
        made = made(reduction="mean_with_sample_weight")
        return {"optimizer": "adam", "loss": made, "weighted_metrics": metrics}
    return {"optimizer": "adam", "loss": made(), "metrics": metrics}


@pytest.mark.parametrize(
    ("recurrent", "loss", "metrics"),
    [
        pytest.param(
            "LSTM",
            "SparseCategoricalCrossentropy",
            ["accuracy", "sparse_categorical_crossentropy"],
            id="LSTM",
        ),
        pytest.param(
            "GRU",
            "CategoricalCrossentropy",
            ["accuracy", "mae", "kl_divergence"],
            id="Bidirectional GRU",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_masked_steps_count_neither_in_losses_nor_in_metrics(
    recurrent: str, loss: str, metrics: list[str], relaxed: None
) -> None:
    y = np.random.default_rng(9).integers(0, 3, (ROWS, 7))
    if loss == "CategoricalCrossentropy":
        y = np.eye(3, dtype="float32")[y]
    theirs, ours = tagger(keras, recurrent), tagger(kgraph, recurrent)
    ours.set_weights(theirs.get_weights())
    for api, model, weights in ((kgraph, ours, None), (keras, theirs, MASK)):
        model.compile(**options(api, loss, metrics))
        held = (X[:10], y[:10]) if weights is None else (X[:10], y[:10], weights[:10])
        # A batch of 16 rows has not as many steps as another: compare batches of a whole epoch.
        model.fit(
            X, y, sample_weight=weights, batch_size=ROWS, epochs=3, shuffle=False, verbose=0,
            validation_data=held,
        )  # fmt: skip
    assert_same_logs(ours.history.history, theirs.history.history)
    assert_same_arrays(ours.get_weights(), theirs.get_weights())


def test_rows_that_are_all_padding_change_nothing() -> None:
    y = np.random.default_rng(9).integers(0, 3, (ROWS, 7))
    model = tagger(kgraph, "LSTM")
    model.compile(**options(kgraph, "SparseCategoricalCrossentropy", ["accuracy"]))
    logs = model.evaluate(X[:6], y[:6], batch_size=8, verbose=0, return_dict=True)
    padded = np.concatenate([X[:6], np.zeros((2, 7), "int32")])
    again = model.evaluate(padded, y[:8], batch_size=8, verbose=0, return_dict=True)
    assert_same_logs(again, logs)
