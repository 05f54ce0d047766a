"""Weights of a model made of tensors: those of layers that attributes held before come first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
import pytest

import kgraph

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")


def made(api: Any) -> Any:
    class Named(api.Model):
        def __init__(self) -> None:
            inputs = api.Input((4,))
            self.head, middle = api.layers.Dense(1, name="z"), api.layers.Dense(2, name="y")
            self.rest = [middle]
            hidden = middle(api.layers.Dense(3, name="x")(inputs))
            super().__init__(inputs, self.head(hidden))
            self.late = api.layers.Rescaling(1.0)

    model = Named()
    model.compile(api.optimizers.Adam(0.1), "mse")
    return model


def test_their_order_is_that_of_keras() -> None:
    ours, theirs = made(kgraph), made(keras)
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    assert [w.path for w in ours.weights][::2] == ["z/kernel", "y/kernel", "x/kernel"]
    assert [layer.name for layer in ours.layers][1:] == ["x", "y", "z"]


@pytest.mark.filterwarnings("ignore:.*what nobody registered")
def test_the_optimizers_state_belongs_to_the_same_weights(tmp_path: Path) -> None:
    ours, theirs = made(kgraph), made(keras)
    given = {"verbose": 0, "shuffle": False, "epochs": 2}
    ours.fit(X, X[:, :1], **given)
    ours.save_weights(tmp_path / "m.weights.h5")
    with jax.numpy_rank_promotion("allow"):
        theirs.fit(X, X[:, :1], **given)
        theirs.load_weights(tmp_path / "m.weights.h5")
        expected = theirs.fit(X, X[:, :1], **given).history["loss"]
    np.testing.assert_allclose(ours.fit(X, X[:, :1], **given).history["loss"], expected, rtol=1e-5)
