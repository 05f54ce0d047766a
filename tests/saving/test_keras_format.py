"""Models go from Keras to kgraph and back through `.keras` files: same numbers, same training."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest
from keras_models import MODELS, OLDER, OPTIMIZERS, data_for, relaxed

import kgraph

QUICK = ("mlp", "nested_twice", "operators")
CHOICES = [
    pytest.param(
        name, *OPTIMIZERS[i % len(OPTIMIZERS)], id=name,
        marks=() if name in QUICK else pytest.mark.slow,
    )
    for i, name in enumerate(MODELS)
]  # fmt: skip


def flat(tree: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def outputs(model: Any, x: Any) -> list[np.ndarray]:
    with relaxed():
        return flat(model(x, training=False))


def assert_equal(ours: list[np.ndarray], theirs: list[np.ndarray], atol: float = 1e-6) -> None:
    for one, two in zip(ours, theirs, strict=True):
        assert one.shape == two.shape
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=atol)  # float32, other order of sums


def step(model: Any, x: Any, y: Any) -> float:
    with relaxed():
        if OLDER and isinstance(model, keras.Model):
            model.reset_metrics()  # they return the mean since the last reset
        return float(model.train_on_batch(x, y, return_dict=True)["loss"])


@pytest.mark.parametrize(("name", "optimizer", "options"), CHOICES)
def test_keras_to_kgraph_and_back(name: str, optimizer: str, options: dict, tmp_path: Path):
    keras.utils.set_random_seed(1)
    first, second = tmp_path / "first.keras", tmp_path / "second.keras"
    with relaxed():
        theirs = MODELS[name](keras)
        rate = {} if optimizer == "Adadelta" else {"learning_rate": 0.01}
        theirs.compile(getattr(keras.optimizers, optimizer)(**rate, **options), "mse")
    x, y = data_for(theirs)
    for _ in range(3):
        step(theirs, x, y)
    with relaxed():
        theirs.save(first)
    ours = kgraph.models.load_model(first)
    tolerance = 1e-2 if name == "mixed_precision" else 1e-6  # bfloat16 rounds per operation
    assert_equal(outputs(ours, x), outputs(theirs, x), tolerance)
    ours.save(second)
    with relaxed():
        again = keras.saving.load_model(second)
    for one, two in zip(theirs.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert_equal(outputs(again, x), outputs(theirs, x))
    losses = [[step(model, x, y) for _ in range(3)] for model in (theirs, ours, again)]
    np.testing.assert_allclose(losses[2], losses[0], rtol=1e-6)
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3 if tolerance > 1e-3 else 2e-5)


def test_files_are_the_same_for_the_same_model(tmp_path: Path):
    model = MODELS["shared"](kgraph)
    model.compile("adam", "mse")
    paths = [tmp_path / "one.keras", tmp_path / "two.keras"]
    for path in paths:
        model.save(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    model.save_weights(tmp_path / "one.weights.h5")
    model.save_weights(tmp_path / "two.weights.h5")
    one, two = (tmp_path / f"{n}.weights.h5" for n in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "one.keras", "one.weights.h5", "two.keras", "two.weights.h5"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["shared", pytest.param("vgg_like", marks=pytest.mark.slow)])
def test_weights_alone_both_ways(name: str, tmp_path: Path):
    with relaxed():
        theirs = MODELS[name](keras)
    ours = MODELS[name](kgraph)
    path = tmp_path / "w.weights.h5"
    with relaxed():
        theirs.save_weights(path)
    ours.load_weights(path)
    for one, two in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    rng = np.random.default_rng(5)
    ours.set_weights([rng.uniform(1, 2, w.shape).astype("float32") for w in ours.get_weights()])
    ours.save_weights(path)
    with relaxed():
        theirs.load_weights(path)
    for one, two in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_random_names_of_layers_do_not_matter_for_weights(tmp_path: Path):
    """Keras addresses weights by class and position, so two sessions' automatic names agree."""
    order = list(range(4))
    random.Random(3).shuffle(order)
    ours, path = MODELS["ensemble"](kgraph), tmp_path / "w.weights.h5"
    with relaxed():
        for _ in order:
            theirs = MODELS["ensemble"](keras)
        theirs.save_weights(path)
    ours.load_weights(path)
    for one, two in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
