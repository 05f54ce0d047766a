"""The learning rate: read, set, scheduled, and never a reason to compile again."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest
from optimizer_oracle import assert_same_weights, gradients, run_keras, run_kgraph

from kgraph.errors import ConfigError
from kgraph.optimizers import SGD, Adam, schedules


def counted(optimizer):
    """Returns a jitted update and the list that grows by one at each trace."""
    traces = []

    def update(grads, state, params):
        traces.append(1)
        return optimizer.update(grads, state, params)

    return jax.jit(update), traces


def test_setting_the_rate_takes_effect_without_another_trace():
    optimizer = SGD(0.5)
    update, traces = counted(optimizer)
    state, one = optimizer.init(jnp.ones(())), jnp.ones(())
    first, state = update(one, state, one)
    optimizer.learning_rate = 0.25
    assert optimizer.learning_rate == 0.25
    state = optimizer.sync_learning_rate(state)
    second, state = update(one, state, one)
    assert (float(first), float(second)) == (-0.5, -0.25)
    assert len(traces) == 1
    assert update._cache_size() == 1


def test_a_replicated_rate_stays_replicated_when_set():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ("batch",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    optimizer = SGD(0.5)
    params = jax.device_put(jnp.ones(4), sharding)
    state = jax.device_put(optimizer.init(params), sharding)
    update = jax.jit(optimizer.update)
    update(params, state, params)
    optimizer.learning_rate = 0.25
    state = optimizer.sync_learning_rate(state)
    assert state.learning_rate.sharding == sharding
    update(params, state, params)
    assert update._cache_size() == 1


def test_sync_returns_the_same_state_when_nothing_changed():
    optimizer = SGD(0.5)
    state = optimizer.init(jnp.ones(()))
    assert optimizer.sync_learning_rate(state) is state
    optimizer.learning_rate = 0.5  # set, even to the same: the state may hold another rate
    assert optimizer.sync_learning_rate(state) is not state
    assert optimizer.sync_learning_rate(state) is state


@pytest.mark.parametrize("options", [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
def test_a_rate_that_changes_under_momentum_gives_the_weights_of_keras(options):
    grads = gradients(1.0, 12)
    schedule = (0.1, 3, 0.5)
    ours, _ = run_kgraph(SGD(schedules.ExponentialDecay(*schedule), **options), grads)
    theirs = keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(*schedule), **options)
    assert_same_weights(ours, run_keras(theirs, grads))


def test_a_rate_set_on_the_way_gives_the_weights_of_keras():
    grads, rates = gradients(1.0, 6), [0.1, 0.1, 0.05, 0.2, 0.2, 0.01]
    optimizer = Adam(0.1, weight_decay=0.1)
    params = run_kgraph(optimizer, [])[0]
    state = optimizer.init(params)
    for gradient, rate in zip(grads, rates, strict=True):
        optimizer.learning_rate = rate
        state = optimizer.sync_learning_rate(state)
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)

    def set_rate(i, keras_optimizer):
        keras_optimizer.learning_rate = rates[i]

    theirs = run_keras(keras.optimizers.Adam(0.1, weight_decay=0.1), grads, each=set_rate)
    assert_same_weights(params, theirs)


def test_a_schedule_is_read_at_the_step_of_the_state():
    schedule = schedules.PolynomialDecay(1.0, 10, 0.0)
    optimizer = SGD(schedule)
    state = optimizer.init(jnp.ones(()))
    assert state.learning_rate is None
    assert optimizer.schedule is schedule
    assert float(optimizer.learning_rate) == 1.0
    later = state._replace(step=jnp.int32(4))
    assert float(optimizer.current_learning_rate(later)) == pytest.approx(0.6)
    assert optimizer.sync_learning_rate(later) is later


def test_a_schedule_of_optax_is_a_schedule():
    optimizer = SGD(optax.linear_schedule(1.0, 0.0, 10))
    state = optimizer.init(jnp.ones(()))._replace(step=jnp.int32(5))
    updates, _ = jax.jit(optimizer.update)(jnp.ones(()), state, jnp.ones(()))
    assert float(updates) == pytest.approx(-0.5)


def test_a_function_without_arguments_is_asked_at_every_sync():
    rates = iter([0.5, 0.5, 0.25])
    optimizer = SGD(lambda: next(rates))
    update, traces = counted(optimizer)
    one = jnp.ones(())
    state, seen = optimizer.init(one), []
    for _ in range(2):
        state = optimizer.sync_learning_rate(state)
        updates, state = update(one, state, one)
        seen.append(float(updates))
    assert seen == [-0.5, -0.25]
    assert len(traces) == 1


def test_adopting_a_rate_makes_it_the_hosts():
    optimizer = SGD(0.5)
    state = optimizer.init(jnp.ones(()))._replace(learning_rate=jnp.float32(0.125))
    optimizer.learning_rate = 0.75
    optimizer._kgraph_adopt_rate(state)
    assert optimizer.learning_rate == 0.125
    assert optimizer.sync_learning_rate(state) is state


def test_a_scheduled_rate_cannot_be_set():
    optimizer = Adam(schedules.CosineDecay(0.1, 10))
    with pytest.raises(ConfigError, match=r"Adam follows a schedule[\s\S]*0\.2 over CosineDecay"):
        optimizer.learning_rate = 0.2
    with pytest.raises(TypeError):  # what Keras raises
        optimizer.learning_rate = 0.2
    with pytest.raises(ConfigError, match=r"to a number only[\s\S]*compile again"):
        Adam(0.1).learning_rate = schedules.CosineDecay(0.1, 10)


@pytest.mark.parametrize("value", ["fast", None, float("nan"), True, SGD, np.ones(3)])
def test_what_is_not_a_rate_is_refused(value):
    with pytest.raises(ConfigError, match=r"Adam cannot use this learning rate[\s\S]*a number"):
        Adam(value)


@pytest.mark.parametrize("value", [1, np.float32(0.5), jnp.float32(0.5)])
def test_any_number_is_a_rate(value):
    assert SGD(value).learning_rate == float(value)
