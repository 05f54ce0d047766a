"""`RematScope`: layers made in it are computed again in the backward pass; numbers stay."""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import ConfigError

X = np.arange(8, dtype="float32").reshape(4, 2) / 8


def model_of(api: Any, **scope: Any) -> Any:
    inputs = api.Input((2,))
    with api.RematScope(**scope):
        wide = api.layers.Dense(5, "tanh", kernel_initializer="ones", name="wide")(inputs)
        x = api.layers.Dense(2, kernel_initializer="ones", name="narrow")(wide)
    return api.Model(inputs, api.layers.Dense(1, kernel_initializer="ones", name="head")(x))


def recomputed(model: Any) -> set[str]:
    model.compile("sgd", "mse")
    program = model._kgraph.programs.training([])
    return {name.removesuffix("/remat") for name in program.stacks}


@pytest.mark.parametrize(
    ("scope", "names"),
    [
        ({}, {"wide", "narrow"}),
        ({"mode": "activations"}, {"wide"}),
        ({"mode": "larger_than", "output_size_threshold": 4}, {"wide"}),
        ({"mode": "list_of_layers", "layer_names": ["narrow", "head"]}, {"narrow"}),
        ({"mode": None}, set()),
    ],
)
def test_which_layers_are_computed_again(scope: dict[str, Any], names: set[str]):
    model = model_of(kgraph, **scope)
    assert recomputed(model) == names


def test_the_numbers_are_those_of_keras():
    def trained(api: Any) -> list[np.ndarray]:
        model = model_of(api)
        model.compile("sgd", "mse")
        model.fit(X, X[:, :1], batch_size=4, epochs=2, shuffle=False, verbose=0)
        return [np.asarray(w) for w in model.get_weights()]

    with jax.numpy_rank_promotion("allow"):
        for ours, theirs in zip(trained(kgraph), trained(keras), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_compile_decides_for_the_whole_model_and_modes_are_known():
    model = model_of(kgraph)
    model.compile("sgd", "mse", remat=["head"])
    assert list(model._kgraph.programs.training([]).stacks) == ["head/remat"]
    with pytest.raises(ConfigError, match="RematScope does not know this value of `mode`"):
        kgraph.RematScope("everything")
