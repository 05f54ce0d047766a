"""Learning rate schedules against Keras, over ranges of steps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from kgraph.errors import ConfigError
from kgraph.optimizers import schedules

CASES = [
    ("ExponentialDecay", (0.1, 10, 0.5), {}),
    ("ExponentialDecay", (0.1, 7, 0.5), {"staircase": True}),
    ("InverseTimeDecay", (0.1, 10, 0.5), {}),
    ("InverseTimeDecay", (0.1, 7, 0.5), {"staircase": True}),
    ("PolynomialDecay", (0.1, 20), {}),
    ("PolynomialDecay", (0.1, 20, 0.01), {"power": 0.5}),
    ("PolynomialDecay", (0.1, 8, 0.01), {"power": 2.0, "cycle": True}),
    ("PiecewiseConstantDecay", ([5, 20], [0.1, 0.01, 0.001]), {}),
    ("PiecewiseConstantDecay", ([3], [1.0, 0.5]), {}),
    ("CosineDecay", (0.1, 20), {}),
    ("CosineDecay", (0.1, 20), {"alpha": 0.1}),
    ("CosineDecay", (0.0, 20), {"warmup_target": 0.1, "warmup_steps": 9, "alpha": 0.2}),
    ("CosineDecay", (0.3, 20), {"warmup_target": 0.1, "warmup_steps": 0}),
    ("CosineDecay", (0.1, 20), {"warmup_steps": 9}),
    ("CosineDecayRestarts", (0.1, 6), {}),
    ("CosineDecayRestarts", (0.1, 6), {"t_mul": 1.0, "m_mul": 0.8, "alpha": 0.1}),
    ("CosineDecayRestarts", (0.1, 4), {"t_mul": 3.0, "m_mul": 1.5}),
]


@pytest.mark.parametrize(("name", "args", "options"), CASES, ids=str)
def test_schedule_has_the_values_of_keras(name, args, options):
    ours = getattr(schedules, name)(*args, **options)
    theirs = getattr(keras.optimizers.schedules, name)(*args, **options)
    steps = jnp.arange(60)
    with jax.numpy_dtype_promotion("standard"):
        expected = np.array([theirs(step) for step in steps])
    got = jax.jit(jax.vmap(ours))(steps)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-8)
    assert ours(7) == pytest.approx(expected[7], rel=1e-5)


@pytest.mark.parametrize(("name", "args", "options"), CASES, ids=str)
def test_schedule_survives_its_config(name, args, options):
    schedule = getattr(schedules, name)(*args, **options)
    again = schedules.deserialize(schedules.serialize(schedule))
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()
    assert again(11) == schedule(11)


@pytest.mark.parametrize(("name", "args", "options"), CASES, ids=str)
def test_schedule_has_the_config_of_keras_and_reads_it(name, args, options):
    theirs = getattr(keras.optimizers.schedules, name)(*args, **options)
    read = schedules.deserialize(keras.optimizers.schedules.serialize(theirs))
    assert read.get_config() == theirs.get_config()


@pytest.mark.parametrize("length", [7, 41, 47, 49, 98])
def test_compiled_schedules_turn_at_the_very_step(length):
    step = jnp.int32(length)
    stairs = jax.jit(schedules.ExponentialDecay(1.0, length, 0.5, staircase=True))
    assert float(stairs(step)) == 0.5
    cycle = jax.jit(schedules.PolynomialDecay(1.0, length, 0.25, cycle=True))
    assert float(cycle(step)) == pytest.approx(0.25, abs=1e-6)
    for t_mul in (1.0, 2.0, 3.0):
        restarts = jax.jit(schedules.CosineDecayRestarts(1.0, length, t_mul=t_mul))
        assert float(restarts(step)) == pytest.approx(1.0, abs=1e-6)
        assert float(restarts(step - 1)) < 0.1
        third = step * round(1 + t_mul + t_mul**2)
        assert float(restarts(third)) == pytest.approx(1.0, abs=1e-6)
    root = jax.jit(schedules.PolynomialDecay(1.0, length, 0.25, power=0.5))
    assert float(root(step)) == pytest.approx(0.25, abs=1e-3)


def test_a_schedule_of_the_users_own_is_read_with_custom_objects():
    class Halving(schedules.LearningRateSchedule):
        def __init__(self, start):
            self.start = start

        def __call__(self, step):
            return self.start * 0.5**step

    data = schedules.serialize(Halving(8.0))
    assert schedules.deserialize(data, {"Halving": Halving})(2) == 2
    with pytest.raises(ConfigError, match=r"No schedule is known as 'Halving'"):
        schedules.get(data)


def test_what_is_not_a_schedule_is_refused():
    with pytest.raises(ConfigError, match=r"not a learning rate schedule[\s\S]*CosineDecay"):
        schedules.get("cosine")
    with pytest.raises(ConfigError, match=r"'class_name' and 'config'[\s\S]*\{'a': 1\}"):
        schedules.get({"a": 1})
    with pytest.raises(ConfigError, match=r"Mine does not say[\s\S]*__call__\(self, step\)"):
        type("Mine", (schedules.LearningRateSchedule,), {})()(0)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: schedules.CosineDecay(0.1, 0),
            r"CosineDecay cannot have this value of `decay_steps`[\s\S]*a positive number",
        ),
        (
            lambda: schedules.ExponentialDecay(0.1, -1, 0.5),
            r"value of `decay_steps`[\s\S]*a positive number",
        ),
        (
            lambda: schedules.CosineDecayRestarts(0.1, 0),
            r"value of `first_decay_steps`[\s\S]*a positive number",
        ),
        (lambda: schedules.PiecewiseConstantDecay([1], [1.0]), "1 boundaries and 1 values"),
        (lambda: schedules.PiecewiseConstantDecay([5, 5], [1.0] * 3), "boundaries that increase"),
    ],
)
def test_options_out_of_range_are_explained(make, text):
    with pytest.raises(ConfigError, match=text):
        make()
