"""Optimizers by hand: on variables, statelessly, and written with `update_step`; as in Keras."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest

import kgraph
from kgraph.errors import ConfigError, StateError


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


SHAPES = {"b/kernel": (2, 3), "a/bias": (3,)}
RULES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {"weight_decay": 0.1}),
    ("RMSprop", {}),
    ("Adagrad", {}),
    ("Adam", {"use_ema": True, "clipnorm": 0.5}),
]


def variables(library: Any) -> list[Any]:
    rng = np.random.default_rng(0)
    found = []
    for path, shape in SHAPES.items():
        value = rng.normal(size=shape).astype("float32")
        found.append(library.Variable(value, name=path.replace("/", "_")))
    return found


def gradients(step: int) -> list[Any]:
    rng = np.random.default_rng(step + 1)
    return [jnp.asarray(rng.normal(size=s).astype("float32")) for s in SHAPES.values()]


def arrays(found: Any) -> list[np.ndarray]:
    return [np.asarray(item) for item in found]


def close(ours: Any, theirs: Any, tolerance: float = 2e-6) -> None:
    for one, other in zip(arrays(ours), arrays(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "options"), RULES)
def test_apply_and_the_state_are_those_of_keras(name, options):
    def run(library: Any) -> tuple[Any, Any]:
        own = variables(library)
        optimizer = getattr(library.optimizers, name)(0.1, **options)
        optimizer.build(own)
        for step in range(3):
            optimizer.apply_gradients(zip(gradients(step), own))
        optimizer.learning_rate = 0.05
        optimizer.apply(gradients(3))
        return own, optimizer

    with relaxed():
        (ours, optimizer), (theirs, other) = run(kgraph), run(keras)
    close(ours, theirs)
    close(optimizer.variables, other.variables)
    assert int(optimizer.iterations) == int(other.iterations) == 4
    assert [v.name for v in optimizer.variables] == [v.name for v in other.variables]


def test_stateless_apply_changes_nothing_and_returns_all():
    def run(library: Any) -> Any:
        own = variables(library)
        optimizer = library.optimizers.Adam(0.1)
        optimizer.build(own)
        state = [v.value for v in own], [v.value for v in optimizer.variables]

        @jax.jit
        def step(state, grads):
            return optimizer.stateless_apply(state[1], grads, state[0])

        for i in range(2):
            state = step(state, gradients(i))
        assert float(optimizer.iterations) == 0
        close(own, variables(library), 0)
        return [*state[0], *state[1]]

    with relaxed():
        close(run(kgraph), run(keras))


def test_a_variable_without_a_gradient_stays():
    with relaxed():
        own = variables(kgraph)
        optimizer = kgraph.optimizers.Adam(0.1)
        optimizer.apply([gradients(0)[0], None], own)
    close(own[1:], variables(kgraph)[1:], 0)
    assert not np.array_equal(own[0].numpy(), variables(kgraph)[0].numpy())
    moments = {v.name: float(jnp.sum(jnp.abs(v.value))) for v in optimizer.variables}
    assert moments["a_bias_momentum"] == 0 < moments["b_kernel_momentum"]


def test_constraints_set_weights_and_errors():
    own = variables(kgraph)
    own[0].constraint = kgraph.constraints.NonNeg()
    optimizer = kgraph.optimizers.SGD(0.1)
    with pytest.raises(StateError, match=r"optimizer\.build\(model\.trainable_variables\)"):
        optimizer.apply(gradients(0))
    optimizer.apply(gradients(0), own)
    assert float(jnp.min(own[0].value)) >= 0
    optimizer.set_weights([7, 0.5])
    assert (int(optimizer.iterations), float(optimizer.learning_rate)) == (7, 0.5)
    with pytest.raises(StateError, match="not the weights"):
        optimizer.set_weights([1])
    with pytest.raises(StateError, match="was not built on 'other'"):
        optimizer.apply([jnp.ones(())], [kgraph.Variable(1.0, name="other")])


def test_the_learning_rate_is_a_number_that_can_be_assigned():
    optimizer = kgraph.optimizers.SGD(0.5)
    assert optimizer.learning_rate == 0.5
    assert f"{optimizer.learning_rate:.2f}" == "0.50"
    optimizer.learning_rate.assign(0.25)
    assert float(optimizer.learning_rate) == optimizer.learning_rate.value == 0.25
    assert optimizer.learning_rate.numpy().dtype == np.float32
    schedules = [
        library.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5) for library in (kgraph, keras)
    ]
    rates = []
    with relaxed():
        for library, schedule in zip((kgraph, keras), schedules):
            optimizer, own = library.optimizers.SGD(schedule), variables(library)
            optimizer.build(own)
            optimizer.apply(gradients(0), own)
            rates.append(float(optimizer.learning_rate))
    assert rates[0] == rates[1] == 0.25


def signed(library: Any) -> Any:
    ops = library.ops

    class Signed(library.optimizers.Optimizer):
        """A rule as programs for Keras write it."""

        def build(self, variables):
            if self.built:
                return
            super().build(variables)
            self.means = self.add_optimizer_variables(variables, "mean")

        def update_step(self, gradient, variable, learning_rate):
            rate = ops.cast(learning_rate, variable.dtype)
            mean = self.means[self._get_variable_index(variable)]
            self.assign(mean, 0.9 * mean + 0.1 * gradient)
            factor = ops.cast(self.iterations + 1, variable.dtype)
            self.assign_sub(variable, rate * ops.sign(mean) / factor)

    return Signed


def doubled(library: Any) -> Any:
    class Doubled(library.optimizers.SGD):
        def apply(self, grads, trainable_variables=None):
            super().apply([2.0 * g for g in grads], trainable_variables)

    return Doubled


def centred(base: str) -> Any:
    def kind(library: Any) -> Any:
        options = {"momentum": 0.9} if base == "SGD" else {}

        class Centred(getattr(library.optimizers, base)):
            """A built-in rule, given other gradients and another rate."""

            def update_step(self, gradient, variable, learning_rate):
                if len(gradient.shape) > 1:
                    gradient = gradient - library.ops.mean(gradient, axis=0, keepdims=True)
                super().update_step(gradient, variable, 0.5 * learning_rate)

        return functools.partial(Centred, **options)

    return kind


OWN = [signed, doubled, *map(centred, ["SGD", "Adam", "RMSprop", "Lion", "Adagrad"])]
X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = np.random.default_rng(1).normal(size=(8, 2)).astype("float32")


@pytest.mark.parametrize("kind", [*OWN, centred("Nadam")])
def test_rules_of_a_class_of_ones_own_train(kind):
    def run(library: Any) -> Any:
        model = library.Sequential(
            [library.Input((3,)), library.layers.Dense(2, kernel_initializer="ones")]
        )
        model.compile(kind(library)(learning_rate=0.1), "mse")
        model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        return model.weights

    with relaxed():
        close(run(kgraph), run(keras))


def test_a_schedule_and_the_number_of_updates_after_fit():
    def run(library: Any) -> tuple[float, int]:
        schedule = library.optimizers.schedules.ExponentialDecay(0.5, 4, 0.5)
        model = library.Sequential([library.Input((3,)), library.layers.Dense(2)])
        model.compile(library.optimizers.SGD(schedule), "mse")
        model.fit(X, Y, batch_size=2, epochs=2, verbose=0)
        return float(model.optimizer.learning_rate), int(model.optimizer.iterations)

    with relaxed():
        assert run(kgraph) == run(keras) == (0.125, 8)


@pytest.mark.parametrize("kind", OWN)
def test_rules_of_a_class_of_ones_own_by_hand(kind):
    def run(library: Any) -> Any:
        own, optimizer = variables(library), kind(library)(learning_rate=0.1)
        for step in range(3):
            optimizer.apply(gradients(step), own)
        return [*own, *optimizer.variables]

    with relaxed():
        close(run(kgraph), run(keras))


def test_weights_without_weight_decay_in_fit():
    def run(library: Any) -> Any:
        dense = library.layers.Dense(2, kernel_initializer="ones", bias_initializer="ones")
        model = library.Sequential([library.Input((3,)), dense])
        optimizer = library.optimizers.AdamW(0.1, weight_decay=0.5)
        optimizer.exclude_from_weight_decay(var_list=[dense.bias])
        model.compile(optimizer, "mse")
        model.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
        return model.weights

    with relaxed():
        close(run(kgraph), run(keras))


def test_variables_without_weight_decay():
    def run(library: Any) -> Any:
        own, optimizer = variables(library), library.optimizers.AdamW(0.1, weight_decay=0.5)
        optimizer.exclude_from_weight_decay(var_list=[own[0]])
        optimizer.build(own)
        optimizer.apply(gradients(0))
        return own

    with relaxed():
        close(run(kgraph), run(keras))


def test_a_base_rule_is_called_from_update_step_alone():
    with pytest.raises(ConfigError, match="update_step of SGD is called from no update_step"):
        kgraph.optimizers.SGD().update_step(jnp.ones(()), variables(kgraph)[0], jnp.ones(()))


@pytest.mark.parametrize("base", ["SGD", "Adam"])
def test_update_step_of_a_subclass_of_a_rule_counts(base: str):
    class Sets(getattr(kgraph.optimizers, base)):
        def update_step(self, gradient, variable, learning_rate):
            self.assign(variable, variable * 0 + 42.0)

    class Turned(Sets):
        def transformation(self, learning_rate):  # the later word
            return optax.scale(0.0)

    for optimizer, wanted in ((Sets(0.1), 42.0), (Turned(0.1), 1.0)):
        model = kgraph.Sequential([kgraph.Input((1,)), kgraph.layers.Dense(1, use_bias=False)])
        model.set_weights([np.ones((1, 1), "float32")])
        model.compile(optimizer, "mse")
        model.fit(np.ones((2, 1), "float32"), np.zeros((2, 1), "float32"), verbose=0)
        np.testing.assert_allclose(model.get_weights()[0], wanted)
