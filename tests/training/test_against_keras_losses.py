"""Losses added by layers, and the losses that are no mean over elements: training as in Keras."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from fit_models import ROWS, FitCase, classes, features, mlp, plain_data, sparse
from fit_oracle import assert_trains_as_keras


def _added(api: Any) -> Any:
    class Penalty(api.layers.Layer):
        def __init__(self, factor: float, **options: Any) -> None:
            super().__init__(**options)
            self.factor = factor

        def call(self, inputs: Any) -> Any:
            self.add_loss(self.factor * jnp.mean(jnp.square(inputs)))
            return inputs

    inputs = api.Input((6,), name="x")
    x = Penalty(0.3)(api.layers.Dense(8, activation="tanh", kernel_regularizer="l2")(inputs))
    return api.Model(inputs, Penalty(0.1)(api.layers.Dense(4, name="y")(x)))


def _embedding(api: Any) -> Any:
    inputs = api.Input((6,), name="x")
    x = api.layers.Dense(8, activation="relu")(inputs)
    return api.Model(inputs, api.layers.UnitNormalization()(api.layers.Dense(5)(x)))


def _transcriber(api: Any) -> Any:
    inputs = api.Input((9, 3), name="x")
    x = api.layers.SimpleRNN(6, return_sequences=True)(inputs)
    return api.Model(inputs, api.layers.Dense(5, name="y")(x))


def _transcripts() -> tuple[Any, Any]:
    draw = np.random.default_rng(5)
    labels = draw.integers(1, 5, (ROWS, 4)) * (np.arange(4) < draw.integers(1, 5, ROWS)[:, None])
    return draw.normal(size=(ROWS, 9, 3)).astype("float32"), labels


CASES = [
    FitCase("added by layers", _added, sparse, plain_data, {"validation_split": 0.25}),
    FitCase(
        "circle",
        _embedding,
        lambda api: {"optimizer": "adam", "loss": api.losses.Circle(gamma=8.0)},
        lambda: (features(), classes(3)),
        {"batch_size": 16},
    ),
    FitCase(
        "ctc",
        _transcriber,
        lambda api: {"optimizer": "adam", "loss": "ctc"},
        _transcripts,
        {"batch_size": 16},
    ),
    FitCase(
        "generalized",
        lambda api: mlp(api, activation="softmax"),
        lambda api: {
            "optimizer": "adam",
            "loss": api.losses.CategoricalGeneralizedCrossEntropy(0.4),
            "metrics": ["accuracy", "sparse_categorical_crossentropy"],
        },
        plain_data,
        {"sample_weight": np.linspace(0, 2, ROWS, dtype="float32")},
    ),
]
QUICK = ("added by layers",)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.id, marks=() if case.id in QUICK else pytest.mark.slow)
        for case in CASES
    ],
)
def test_training_equals_keras(case: FitCase, relaxed: None) -> None:
    assert_trains_as_keras(case)
