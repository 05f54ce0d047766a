"""What an epoch consists of: steps, datasets, validation, and the first epoch, as in Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from fit_models import FitCase, mlp, normalized, plain_data, sparse
from fit_oracle import assert_same_arrays, assert_same_logs, assert_trains_as_keras

import kgraph

X, Y = plain_data()
WEIGHTS = np.random.default_rng(3).random(len(X)).astype("float32")


def _batches(size: int, weights: bool = False, times: int = 1) -> Iterator[tuple[Any, ...]]:
    for start in (s for _ in range(times) for s in range(0, len(X), size)):
        part = slice(start, start + size)
        yield (X[part], Y[part], WEIGHTS[part]) if weights else (X[part], Y[part])


CASES = [
    FitCase("steps", mlp, sparse, plain_data, {"steps_per_epoch": 1, "batch_size": 16}),
    FitCase(
        "validation of some epochs", normalized, sparse, plain_data,
        {
            "validation_data": (X[:23], Y[:23]), "validation_freq": [2, 4], "epochs": 4,
            "validation_batch_size": 8, "validation_steps": 2,
        },
    ),
    FitCase(
        "a later first epoch", normalized, sparse, plain_data,
        {"initial_epoch": 2, "epochs": 4, "batch_size": 7, "validation_split": 0.3},
    ),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_training_equals_keras(case: FitCase, relaxed: None) -> None:
    assert_trains_as_keras(case)


def _assert_same_fit(arguments: Callable[[], dict[str, Any]], **options: Any) -> None:
    theirs, ours = normalized(keras), normalized(kgraph)
    ours.set_weights(theirs.get_weights())
    for api, model in ((kgraph, ours), (keras, theirs)):
        model.compile(**sparse(api), **options)
        model.fit(**arguments(), verbose=0, shuffle=False)
    assert ours.history.epoch == theirs.history.epoch
    assert_same_logs(ours.history.history, theirs.history.history)
    assert_same_arrays(ours.get_weights(), theirs.get_weights())


def test_a_generator_goes_on_from_epoch_to_epoch(relaxed: None) -> None:
    """Batches of 16, 16 and 8 rows with weights; an epoch of 4 starts anew within the data."""
    _assert_same_fit(
        lambda: {
            "x": _batches(16, weights=True, times=4),
            "steps_per_epoch": 4,
            "epochs": 3,
            "validation_data": (X[:9], Y[:9]),
        },
        weighted_metrics=["sparse_categorical_crossentropy"],
    )


class _Split:
    """Returns a PyDataset of either library, of batches with a partial one."""

    @staticmethod
    def of(api: Any) -> Any:
        class Batches(api.utils.PyDataset):
            def __len__(self) -> int:
                return 3

            def __getitem__(self, index: int) -> tuple[Any, ...]:
                part = slice(16 * index, 16 * index + 16)
                return X[part], Y[part]

        return Batches()


@pytest.mark.slow
def test_a_py_dataset_trains_and_validates(relaxed: None) -> None:
    theirs, ours = mlp(keras), mlp(kgraph)
    ours.set_weights(theirs.get_weights())
    for api, model in ((kgraph, ours), (keras, theirs)):
        model.compile(**sparse(api))
        data = _Split.of(api)
        fit = {"epochs": 2, "validation_data": data, "class_weight": {1: 3.0}}
        model.fit(data, verbose=0, shuffle=False, **fit)
    assert_same_logs(ours.history.history, theirs.history.history)
    assert_same_arrays(ours.get_weights(), theirs.get_weights())
