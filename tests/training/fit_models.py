"""Models that Keras and kgraph both build, and their data, for tests of training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ROWS = 40


@dataclass(frozen=True)
class FitCase:
    """A model, its compile options and fit arguments; `api` is `kgraph` or `keras`."""

    id: str
    build: Callable[[Any], Any]
    options: Callable[[Any], dict[str, Any]]
    data: Callable[[], tuple[Any, Any]]
    fit: dict[str, Any] = field(default_factory=dict)


def _random() -> np.random.Generator:
    return np.random.default_rng(7)


def features() -> np.ndarray:
    return _random().normal(size=(ROWS, 6)).astype("float32")


def classes(number: int = 4) -> np.ndarray:
    return _random().integers(0, number, ROWS)


def mlp(api: Any, **head: Any) -> Any:
    inputs = api.Input((6,), name="x")
    x = api.layers.Dense(8, activation="tanh")(inputs)
    return api.Model(inputs, api.layers.Dense(4, name="y", **head)(x))


def sparse(api: Any) -> dict[str, Any]:
    loss = api.losses.SparseCategoricalCrossentropy(from_logits=True)
    return {"optimizer": "adam", "loss": loss, "metrics": ["accuracy"]}


def normalized(api: Any, frozen: bool = False) -> Any:
    inputs = api.Input((6,), name="x")
    norm = api.layers.BatchNormalization()
    x = norm(api.layers.Dense(8, activation="relu")(inputs))
    model = api.Model(inputs, api.layers.Dense(4, name="y")(x))
    if frozen:
        norm.trainable = False
    return model


def _regularized(api: Any) -> Any:
    inputs = api.Input((6,), name="x")
    x = api.layers.Dense(
        8, activation="relu", kernel_regularizer="l2", activity_regularizer="l1",
        kernel_constraint=api.constraints.MaxNorm(1.0),
    )(inputs)  # fmt: skip
    return api.Model(inputs, api.layers.Dense(4, name="y", bias_regularizer="l1")(x))


def branches(api: Any) -> Any:
    a, b = api.Input((6,), name="zulu"), api.Input((3,), name="alpha")
    x = api.layers.concatenate([api.layers.Dense(5, activation="relu")(a), b])
    late = api.layers.Dense(1, name="zeta")(x)
    early = api.layers.Dense(4, name="beta", activation="softmax")(x)
    return api.Model([a, b], [late, early])


def branch_data() -> tuple[Any, Any]:
    extra = _random().normal(size=(ROWS, 3)).astype("float32")
    target = _random().normal(size=(ROWS, 1)).astype("float32")
    return {"zulu": features(), "alpha": extra}, {"zeta": target, "beta": classes()}


def _branch_lists() -> tuple[Any, Any]:
    x, y = branch_data()
    return [x["zulu"], x["alpha"]], [y["zeta"], y["beta"]]


def masked(api: Any) -> Any:
    inputs = api.Input((None,), dtype="int32", name="x")
    x = api.layers.Embedding(11, 5, mask_zero=True)(inputs)
    x = api.layers.LSTM(6, return_sequences=True)(x)
    return api.Model(inputs, api.layers.Dense(4, name="y")(x))


def masked_data() -> tuple[Any, Any]:
    ids = _random().integers(1, 11, (ROWS, 7))
    lengths = _random().integers(1, 8, ROWS)
    ids = np.where(np.arange(7)[None] < lengths[:, None], ids, 0).astype("int32")
    return ids, _random().normal(size=(ROWS, 7, 4)).astype("float32")


def plain_data() -> tuple[Any, Any]:
    return features(), classes()


def _one_hot_data() -> tuple[Any, Any]:
    return features(), np.eye(4, dtype="float32")[classes()]


_DICTS = {"loss": {"beta": "sparse_categorical_crossentropy", "zeta": "mse"}}

CASES = [
    FitCase("sparse", mlp, sparse, plain_data),
    FitCase(
        "probabilities",
        lambda api: mlp(api, activation="softmax"),
        lambda api: {
            "optimizer": "rmsprop", "loss": "categorical_crossentropy", "metrics": ["acc", "mae"],
        },
        _one_hot_data,
    ),
    FitCase("partial batch", mlp, sparse, plain_data, {"batch_size": 16}),
    FitCase("validation split", mlp, sparse, plain_data, {"validation_split": 0.25}),
    FitCase(
        "validation freq", mlp, sparse, plain_data,
        {"validation_data": plain_data(), "validation_freq": 2},
    ),
    FitCase("class weight", mlp, sparse, plain_data, {"class_weight": {0: 2.0, 3: 0.1}}),
    FitCase(
        "sample weight",
        mlp,
        lambda api: {**sparse(api), "weighted_metrics": ["accuracy"]},
        plain_data,
        {"sample_weight": _random().random(ROWS).astype("float32"), "batch_size": 16},
    ),
    FitCase("steps per epoch", mlp, sparse, plain_data, {"steps_per_epoch": 2, "batch_size": 4}),
    FitCase("batch norm", normalized, sparse, plain_data, {"validation_split": 0.25}),
    FitCase("frozen norm", lambda api: normalized(api, True), sparse, plain_data),
    FitCase("regularized", _regularized, sparse, plain_data, {"validation_split": 0.25}),
    FitCase(
        "dicts", branches,
        lambda api: {
            "optimizer": "adam", **_DICTS, "loss_weights": {"beta": 0.2, "zeta": 1.0},
            "metrics": {"zeta": ["mae"], "beta": ["accuracy"]},
        },
        branch_data, {"validation_split": 0.25},
    ),
    FitCase(
        "lists", branches,
        lambda api: {
            "optimizer": "sgd", "loss": ["mse", "sparse_categorical_crossentropy"],
            "loss_weights": [1.0, 0.2], "metrics": [["mae", "mse"], ["accuracy"]],
        },
        _branch_lists,
    ),
    FitCase(
        "masks", masked,
        lambda api: {"optimizer": "adam", "loss": "mse"},
        masked_data, {"batch_size": 16},
    ),
]  # fmt: skip
