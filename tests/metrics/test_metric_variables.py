"""Metrics whose state is variables, as those written for Keras have it; Keras is the oracle."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import kgraph
from kgraph.errors import StateError

Y = np.array([[1.0], [2.0], [4.0], [3.0]], np.float32)
P = np.array([[0.5], [2.0], [3.0], [5.0]], np.float32)


@contextlib.contextmanager
def relaxed() -> Iterator[None]:
    """Runs as users run: with type promotion, and without Keras' warnings."""
    with (
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def spread(library: Any) -> Any:
    ops = library.ops

    class Spread(library.metrics.Metric):
        """The largest error less the mean one, which starts from 10 in each epoch."""

        def __init__(self, name="spread", **options):
            super().__init__(name=name, **options)
            self.sums = [
                self.add_variable(shape=(), initializer="zeros", name=name)
                for name in ("total", "count")
            ]
            self.largest = self.add_weight(name="largest", initializer="zeros")

        def update_state(self, y_true, y_pred, sample_weight=None):
            errors = ops.abs(y_true - y_pred)
            self.sums[0].assign_add(ops.sum(errors))
            self.sums[1].assign(self.sums[1] + ops.cast(ops.size(errors), "float32"))
            self.largest.assign(ops.maximum(self.largest, ops.max(errors)))

        def result(self):
            return self.largest - self.sums[0] / self.sums[1]

        def reset_state(self):
            for variable in self.variables:
                variable.assign(10.0 * ops.ones(variable.shape))

    return Spread


def test_in_place_it_is_as_in_keras():
    def run(library: Any) -> list[Any]:
        metric = spread(library)()
        metric.update_state(Y, P)
        found = [metric.result(), *metric.variables]
        metric.reset_state()
        found += [metric(Y, P), *metric.variables]
        return [np.asarray(item) for item in found]

    with relaxed():
        for one, other in zip(run(kgraph), run(keras), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)


def test_the_stateless_methods_are_those_of_keras():
    def run(library: Any) -> list[Any]:
        metric = spread(library)()
        state = metric.stateless_reset_state()
        update = jax.jit(metric.stateless_update_state)
        for _ in range(2):
            state = update(state, Y, P)
        assert [float(v.value) for v in metric.variables] == [0.0, 0.0, 0.0]
        return [*state, metric.stateless_result(state)]

    with relaxed():
        for one, other in zip(run(kgraph), run(keras), strict=True):
            np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-6)
    with pytest.raises(StateError, match="3 arrays: "):
        spread(kgraph)().stateless_result([1.0])


def test_it_counts_in_fit_and_evaluate_from_its_own_start():
    def run(library: Any) -> list[Any]:
        layers = [library.Input((1,)), library.layers.Dense(1, kernel_initializer="ones")]
        model = library.Sequential(layers)
        model.compile(library.optimizers.SGD(0.01), "mse", metrics=[spread(library)()])
        history = model.fit(P, Y, batch_size=2, epochs=2, shuffle=False, verbose=0).history
        return [*history["spread"], model.evaluate(P, Y, verbose=0)[1]]

    with relaxed():
        np.testing.assert_allclose(run(kgraph), run(keras), rtol=1e-5)


def test_states_by_attribute_may_be_set_outside_of_a_run():
    metric = kgraph.metrics.Mean()
    metric.update_state([2.0, 4.0])
    assert isinstance(metric.total, kgraph.Variable)
    metric.total = 12.0
    assert float(metric.total) == 12.0
    assert float(metric.result()) == 6.0
    metric.reset_state()
    assert [float(v) for v in metric.variables] == [0.0] * 4
    assert metric.variables[0].path == "mean/total"


def test_own_metrics_are_read_and_set_by_their_variables():
    metric = kgraph.metrics.BinaryAccuracy()
    state = metric.stateless_reset_state()
    state = metric.stateless_update_state(
        state, jnp.ones((4, 1)), jnp.array([[1.0], [0], [1], [1]])
    )
    assert float(metric.stateless_result(state)) == 0.75
    for variable, value in zip(metric.variables, state):
        variable.assign(value)
    assert float(metric.result()) == 0.75


def test_plain_attributes_that_an_update_sets_stay():
    class Noting(kgraph.metrics.Mean):
        def update_state(self, values, sample_weight=None):
            super().update_state(values, sample_weight)
            self.calls = getattr(self, "calls", 0) + 1

    metric = Noting()
    metric.update_state([1.0])
    metric.update_state([1.0])
    assert metric.calls == 2
