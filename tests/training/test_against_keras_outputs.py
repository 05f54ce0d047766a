"""Several outputs, weights of samples, classes and losses: the numbers of Keras."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fit_models import ROWS, FitCase, branch_data, branches, classes, mlp, plain_data, sparse
from fit_oracle import assert_trains_as_keras, trained

import kgraph

WEIGHTS = np.random.default_rng(3).random(ROWS).astype("float32")


def _weights(*outputs: float) -> tuple[np.ndarray, ...]:
    return tuple(factor * WEIGHTS for factor in outputs)


def _lists() -> tuple[Any, Any]:
    x, y = branch_data()
    return [x["zulu"], x["alpha"]], [y["zeta"], y["beta"]]


def _one_hot() -> tuple[Any, Any]:
    return plain_data()[0], np.eye(4, dtype="float32")[classes()]


CASES = [
    FitCase(
        "weights by name",
        branches,
        lambda api: {
            "optimizer": "adam",
            "loss": {"zeta": "mae", "beta": api.losses.SparseCategoricalCrossentropy()},
            "loss_weights": {"zeta": 0.5, "beta": 2.0},
            "metrics": {"beta": ["accuracy"]},
            "weighted_metrics": {"zeta": ["mse"], "beta": ["accuracy"]},
        },
        branch_data,
        {
            "batch_size": 16,
            "validation_split": 0.2,
        },
    ),
    FitCase(
        "weights by order",
        branches,
        lambda api: {
            "optimizer": "rmsprop",
            "loss": ["huber", "sparse_categorical_crossentropy"],
            "weighted_metrics": [["mae"], ["accuracy", "sparse_top_k_categorical_accuracy"]],
        },
        _lists,
        {"sample_weight": list(_weights(1.0, 3.0)), "batch_size": 16},
    ),
    FitCase(
        "no loss for one output",
        branches,
        lambda api: {
            "optimizer": "sgd",
            "loss": {"beta": "sparse_categorical_crossentropy", "zeta": None},
            "metrics": {"beta": ["accuracy"]},
        },
        branch_data,
    ),
    FitCase(
        "weights and validation weights",
        mlp,
        lambda api: {**sparse(api), "weighted_metrics": ["sparse_categorical_crossentropy"]},
        plain_data,
        {
            "sample_weight": WEIGHTS,
            "validation_data": (*plain_data(), 2.0 * WEIGHTS),
            "validation_batch_size": 9,
        },
    ),
    FitCase(
        "class weights of one-hot targets",
        lambda api: mlp(api, activation="softmax"),
        lambda api: {
            "optimizer": "adam",
            "loss": api.losses.CategoricalCrossentropy(label_smoothing=0.1),
            "metrics": ["accuracy", api.metrics.F1Score(average="macro"), "kl_divergence"],
            "weighted_metrics": ["mae"],
        },
        _one_hot,
        {"class_weight": {0: 3.0, 2: 0.2}, "validation_split": 0.25},
    ),
    FitCase(
        "many metrics",
        lambda api: mlp(api, activation="sigmoid"),
        lambda api: {
            "optimizer": api.optimizers.Nadam(0.01),
            "loss": "binary_crossentropy",
            "metrics": [
                "binary_accuracy", api.metrics.AUC(num_thresholds=20, name="auc"),
                api.metrics.AUC(curve="PR", name="pr"), api.metrics.Precision(name="precision"),
                api.metrics.Recall(name="recall"), api.metrics.R2Score(), "mse",
                api.metrics.PearsonCorrelation(), api.metrics.RootMeanSquaredError(),
                api.metrics.TruePositives(name="hits"),
            ],
        },
        _one_hot,
        {"batch_size": 16, "validation_split": 0.25},
    ),
]  # fmt: skip
QUICK = ("weights by name",)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.id, marks=() if case.id in QUICK else pytest.mark.slow)
        for case in CASES
    ],
)
def test_training_equals_keras(case: FitCase, relaxed: None) -> None:
    assert_trains_as_keras(case)


@pytest.mark.slow
def test_weights_by_name_are_weights_by_order() -> None:
    """Keras fails on a dict of weights where the model's outputs are a list."""
    case = CASES[1]
    x, y = branch_data()
    start, found = None, []
    for weights in (list(_weights(1.0, 3.0)), dict(zip(("beta", "zeta"), _weights(3.0, 1.0)))):
        model, history, start = trained(
            kgraph, replace(case, fit={"sample_weight": weights}, data=lambda: (x, y)), start
        )
        found.append((history.history, model.get_weights()))
    assert found[0][0] == found[1][0]
    for a, b in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(a, b)
