"""Constraints against Keras, their options, and custom ones."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from kgraph import constraints
from kgraph.errors import ConfigError

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(5, 3)).astype(np.float32) * np.array([0.1, 1, 9], np.float32)
KERNEL = RNG.normal(size=(3, 3, 2, 4)).astype(np.float32)
CASES = [
    ("NonNeg", {}, MATRIX),
    ("MaxNorm", {}, MATRIX),
    ("MaxNorm", {"max_value": 0.5, "axis": 1}, MATRIX),
    ("MaxNorm", {"max_value": 3, "axis": [0, 1, 2]}, KERNEL),
    ("MinMaxNorm", {}, MATRIX),
    ("MinMaxNorm", {"min_value": 1.0, "max_value": 2.0, "rate": 0.3, "axis": 1}, MATRIX),
    ("UnitNorm", {}, MATRIX),
    ("UnitNorm", {"axis": [0, 1, 2]}, KERNEL),
]


@pytest.mark.parametrize(("name", "options", "w"), CASES, ids=lambda case: str(case)[:40])
def test_values_and_config_are_those_of_keras(name, options, w):
    ours = getattr(constraints, name)(**options)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        theirs = getattr(keras.constraints, name)(**options)
        expected = theirs(w)
    np.testing.assert_allclose(ours(jnp.asarray(w)), expected, rtol=1e-6)
    assert ours.get_config() == theirs.get_config()
    again = constraints.deserialize(constraints.serialize(ours))
    np.testing.assert_array_equal(jax.jit(again)(w), jax.jit(ours)(w))


@pytest.mark.parametrize(("name", "options", "w"), CASES, ids=lambda case: str(case)[:40])
def test_shape_and_dtype_stay(name, options, w):
    w = jnp.asarray(w, jnp.bfloat16)
    result = getattr(constraints, name)(**options)(w)
    assert (result.shape, result.dtype) == (w.shape, jnp.bfloat16)


def test_zero_vectors_stay_zero():
    for name in ("MaxNorm", "MinMaxNorm", "UnitNorm"):
        assert not np.asarray(getattr(constraints, name)()(jnp.zeros((3, 2)))).any()


def test_wrong_options_are_refused():
    with pytest.raises(ConfigError, match=r"MaxNorm needs a range[\s\S]*max_value -1"):
        constraints.MaxNorm(-1)
    with pytest.raises(
        ConfigError, match=r"MinMaxNorm needs a range[\s\S]*min_value 2, max_value 1"
    ):
        constraints.MinMaxNorm(2, 1)
    with pytest.raises(ConfigError, match=r"rate from 0 to 1[\s\S]*1\.5"):
        constraints.MinMaxNorm(rate=1.5)


@pytest.mark.parametrize("name", ["max_norm", "min_max_norm", "non_neg", "unit_norm", "UnitNorm"])
def test_names_stand_for_objects(name):
    assert type(constraints.get(name)) is getattr(constraints, name)
    assert getattr(constraints, name).__name__ == getattr(keras.constraints, name).__name__


def test_identifiers():
    assert constraints.get(None) is None
    assert constraints.get(jnp.abs) is jnp.abs
    assert constraints.get(constraints.MaxNorm).max_value == 2
    keras_form = keras.constraints.serialize(keras.constraints.MaxNorm(5, axis=1))
    assert constraints.get(keras_form).get_config() == {"max_value": 5, "axis": 1}
    with pytest.raises(ConfigError, match="did you mean 'unit_norm'"):
        constraints.get("unitnorm")


class Rounded(constraints.Constraint):
    def __init__(self, step=0.5):
        self.step = step

    def __call__(self, w):
        return jnp.round(w / self.step) * self.step


def test_a_custom_constraint_writes_no_config():
    written = constraints.serialize(Rounded(0.25))
    assert written["config"] == {"step": 0.25}
    assert constraints.deserialize(written, {"Rounded": Rounded}).step == 0.25
    with pytest.raises(
        ConfigError, match=r"No constraint is known as 'Rounded'[\s\S]*custom_objects"
    ):
        constraints.deserialize(written)


def test_the_base_leaves_weights_alone() -> None:
    weight = jnp.ones((2, 2))
    assert constraints.Constraint()(weight) is weight
