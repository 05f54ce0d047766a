"""Counts of updates stay at 2**31 - 1 where they would become negative."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import kgraph
from kgraph import layers, optimizers
from kgraph.optimizers import schedules

LARGEST = np.iinfo(np.int32).max


class Own(optimizers.Optimizer):
    """Written for Keras: the size of a step depends on the count."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        count = jnp.asarray(self.iterations.value, jnp.float32) + 1
        self.assign_sub(variable, learning_rate * gradient / jnp.sqrt(count))


CASES = {
    **{
        name: getattr(optimizers, name)
        for name in (
            "SGD", "RMSprop", "Adam", "AdamW", "Adadelta", "Adagrad", "Adamax", "Adafactor",
            "Nadam", "Ftrl", "Lion", "Lamb", "Muon", "ScheduleFreeAdamW",
        )
    },
    "average": lambda: optimizers.Adam(use_ema=True),
    "own": lambda: Own(0.1),
    "optax": lambda: optimizers.get(optax.adam(0.1)),
    "map": lambda: optimizers.MultiOptimizer(optimizers.OptimizerMap("sgd", {"w": "adam"})),
    "scaled": lambda: optimizers.LossScaleOptimizer(optimizers.Adam()),
    "schedule": lambda: optimizers.Adam(schedules.CosineDecayRestarts(0.1, 100)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_updates_go_on_after_the_largest_count(name: str) -> None:
    optimizer = CASES[name]()
    params = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}
    grads = jax.tree.map(jnp.ones_like, params)
    state = jax.tree.map(_largest, optimizer._kgraph_init(params))
    for _ in range(2):
        with jax.numpy_dtype_promotion("standard"):  # optax needs it
            updates, state = jax.jit(optimizer._kgraph_update)(grads, state, params)
        for leaf in jax.tree.leaves((updates, state)):
            assert np.isfinite(np.asarray(leaf, np.float32)).all()
        counts = [x for x in jax.tree.leaves(state) if x.dtype == np.int32 and x.ndim == 0]
        assert all(int(count) >= 0 for count in counts)


def _largest(leaf: Any) -> Any:
    is_count = leaf.dtype == np.int32 and leaf.ndim == 0
    return jnp.asarray(LARGEST - 1, jnp.int32) if is_count else leaf


def test_boundaries_beyond_the_largest_count_are_not_passed() -> None:
    schedule = schedules.PiecewiseConstantDecay([10, 3_000_000_000], [1.0, 2.0, 3.0])
    assert [float(schedule(jnp.int32(step))) for step in (10, 11, LARGEST)] == [1.0, 2.0, 2.0]


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.ExponentialDecay(0.1, 1e9, 0.5), schedules.CosineDecay(0.1, 100, 0.1),
        schedules.CosineDecayRestarts(0.1, 100), schedules.InverseTimeDecay(0.1, 1e9, 0.5),
        schedules.PolynomialDecay(0.1, 100), schedules.PiecewiseConstantDecay([10], [1.0, 2.0]),
    ],
)  # fmt: skip
def test_a_schedule_takes_any_count(schedule: Any) -> None:
    assert float(schedule(2**40)) == float(schedule(LARGEST))


def test_a_training_goes_on_after_the_largest_count() -> None:
    kgraph.utils.set_random_seed(7)
    model = kgraph.Sequential([kgraph.Input((4,)), layers.Dropout(0.5), layers.Dense(3)])
    optimizer = optimizers.Adam(use_ema=True)
    model.compile(optimizer, "mse")
    x = np.ones((12, 4), np.float32)
    model.fit(x, x[:, :3], batch_size=4, verbose=0)
    trainer = model._kgraph.trainer
    state = trainer.state()
    assert state is not None
    trainer.restore_state(jax.tree.map(lambda leaf: _largest(jnp.asarray(leaf)), state))
    model.fit(x, x[:, :3], batch_size=4, verbose=0)
    assert all(np.isfinite(array).all() for array in model.get_weights())
    assert int(optimizer.iterations) == LARGEST
