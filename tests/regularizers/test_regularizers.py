"""Regularizers against Keras, their options, and custom ones."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from kgraph import regularizers
from kgraph.errors import ConfigError, DataError

W = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
CASES = [
    ("L1", {}),
    ("L1", {"l1": 0.3}),
    ("L1", {"l1": None}),
    ("L2", {}),
    ("L2", {"l2": 2}),
    ("L1L2", {}),
    ("L1L2", {"l1": 0.2, "l2": 0.7}),
    ("L1L2", {"l1": None, "l2": 0.7}),
    ("OrthogonalRegularizer", {}),
    ("OrthogonalRegularizer", {"factor": 0.5, "mode": "columns"}),
]


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_values_gradients_and_config_are_those_of_keras(name, options):
    ours = getattr(regularizers, name)(**options)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        theirs = getattr(keras.regularizers, name)(**options)
        expected, slope = jax.value_and_grad(lambda w: theirs(w))(jnp.asarray(W))
    value, gradient = jax.value_and_grad(ours)(jnp.asarray(W))
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-8)
    assert set(ours.get_config()) == set(theirs.get_config())
    again = regularizers.deserialize(regularizers.serialize(ours))
    assert type(again) is type(ours)
    assert again(W) == ours(W)


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_the_penalty_is_a_scalar_in_the_dtype_of_the_weight(name, options):
    penalty = getattr(regularizers, name)(**options)(jnp.asarray(W, jnp.bfloat16))
    assert (penalty.shape, penalty.dtype) == ((), jnp.bfloat16)


def test_a_single_vector_has_no_pairs_and_a_zero_vector_no_nan():
    penalty = regularizers.OrthogonalRegularizer()
    assert penalty(jnp.ones((1, 4))) == 0
    gradient = jax.grad(penalty)(jnp.asarray([[0.0, 0.0], [1.0, 2.0]]))
    assert np.isfinite(gradient).all()


def test_wrong_options_and_inputs_are_refused():
    for value in (-1, float("nan"), float("inf"), "0.1"):
        with pytest.raises(ConfigError, match=r"L2 cannot use this value of `l2`[\s\S]*at least 0"):
            regularizers.L2(value)
    with pytest.raises(ConfigError, match=r"L1L2 cannot use this value of `l1`"):
        regularizers.L1L2(l1=-0.1)
    with pytest.raises(ConfigError, match=r"`mode`[\s\S]*did you mean 'rows'"):
        regularizers.OrthogonalRegularizer(mode="row")
    with pytest.raises(DataError, match=r"matrices only[\s\S]*received  \[2, 3, 4\]"):
        regularizers.OrthogonalRegularizer()(jnp.ones((2, 3, 4)))


@pytest.mark.parametrize("name", ["l1", "L1", "l2", "l1_l2", "l1l2", "orthogonal_regularizer"])
def test_names_stand_for_objects(name):
    assert isinstance(regularizers.get(name), regularizers.Regularizer)


def test_aliases_and_identifiers():
    for name in ("l1", "l2", "l1_l2", "orthogonal_regularizer"):
        assert getattr(regularizers, name).__name__ == getattr(keras.regularizers, name).__name__
    assert regularizers.get(None) is None
    assert regularizers.get(jnp.sum) is jnp.sum
    assert regularizers.get(regularizers.L2).l2 == 0.01
    keras_form = keras.regularizers.serialize(keras.regularizers.L2(0.25))
    assert regularizers.get(keras_form).l2 == 0.25
    with pytest.raises(ConfigError, match="No regularizer is known as 'l3'"):
        regularizers.get("l3")


class Bounded(regularizers.Regularizer):
    def __init__(self, strength, **options):
        self.strength, self.power = strength, options.get("power", 2)

    def __call__(self, x):
        return self.strength * jnp.max(jnp.abs(x)) ** self.power


def test_a_custom_regularizer_writes_no_config():
    written = regularizers.serialize(Bounded(0.5, power=3))
    assert written["config"] == {"strength": 0.5, "power": 3}
    again = regularizers.deserialize(written, {"Bounded": Bounded})
    assert (again.strength, again.power) == (0.5, 3)


def test_the_base_says_what_to_define():
    with pytest.raises(ConfigError, match=r"Regularizer does not define __call__\(self, x\)"):
        regularizers.Regularizer()(W)
