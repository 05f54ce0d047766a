"""Optax transformations as optimizers: exactly optax, with a learning rate where there is one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
import pytest
from optimizer_oracle import gradients, run_kgraph

from kgraph import optimizers
from kgraph.errors import ConfigError
from kgraph.optimizers import OptaxOptimizer

TRANSFORMATIONS = {
    "adam": lambda: optax.adam(0.1),
    "chain": lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.1)),
    "multi_steps": lambda: optax.MultiSteps(optax.sgd(0.1), 2),
    "lion": lambda: optax.lion(0.1),
    "injected": lambda: optax.inject_hyperparams(optax.adagrad)(learning_rate=0.1),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_updates_are_those_of_optax(name, relaxed):
    grads = gradients(1.0, 4)
    ours, state = run_kgraph(optimizers.get(TRANSFORMATIONS[name]()), grads)
    plain = TRANSFORMATIONS[name]()
    params = run_kgraph(optimizers.SGD(), [])[0]
    inner, update = plain.init(params), jax.jit(plain.update)
    for gradient in grads:
        updates, inner = update(gradient, inner, params)
        params = optax.apply_updates(params, updates)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), ours, params))
    assert int(state.step) == 4


def injected(factory=optax.sgd, rate=0.5):
    return optax.inject_hyperparams(factory)(learning_rate=rate)


@pytest.mark.parametrize(
    "transformation",
    [
        injected(),
        optax.chain(optax.clip(9.0), injected()),
        optax.partition({"a": injected(), "b": injected()}, {"x": "a", "y": "b"}),
    ],
    ids=["plain", "in_chain", "twice"],
)
def test_an_injected_rate_can_be_read_and_set_without_another_trace(transformation):
    optimizer = OptaxOptimizer(transformation)
    params = {"x": jnp.ones(()), "y": jnp.ones(())}
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    optimizer._kgraph_adopt_rate(state)  # 'twice' cannot know before it has seen a state
    assert optimizer.learning_rate == 0.5
    assert float(optimizer.current_learning_rate(state)) == 0.5
    assert optimizer.sync_learning_rate(state) is state
    first, state = update(params, state, params)
    optimizer.learning_rate = 0.25
    state = optimizer.sync_learning_rate(state)
    second, state = update(params, state, params)
    assert {k: float(v) for k, v in first.items()} == {"x": -0.5, "y": -0.5}
    assert {k: float(v) for k, v in second.items()} == {"x": -0.25, "y": -0.25}
    assert float(optimizer.current_learning_rate(state)) == 0.25
    assert update._cache_size() == 1


def test_a_rate_set_before_init_is_in_the_state():
    optimizer = OptaxOptimizer(injected())
    optimizer.learning_rate = 0.125
    assert float(optimizer.current_learning_rate(optimizer.init(jnp.ones(2)))) == 0.125


def test_several_rates_are_left_alone_until_one_is_set():
    parts = {"a": injected(rate=0.5), "b": injected(rate=0.25)}
    optimizer = OptaxOptimizer(optax.partition(parts, lambda params: {"x": "a", "y": "b"}))
    params = {"x": jnp.ones(()), "y": jnp.ones(())}
    state = optimizer.init(params)
    optimizer._kgraph_adopt_rate(state)
    updates, state = optimizer.update(params, optimizer.sync_learning_rate(state), params)
    assert {k: float(v) for k, v in updates.items()} == {"x": -0.5, "y": -0.25}
    optimizer.learning_rate = 0.125
    updates, _ = optimizer.update(params, optimizer.sync_learning_rate(state), params)
    assert {k: float(v) for k, v in updates.items()} == {"x": -0.125, "y": -0.125}


def test_a_scheduled_injected_rate_is_read_from_the_state_only():
    optimizer = OptaxOptimizer(injected(rate=optax.linear_schedule(1.0, 0.0, 4)))
    params = jnp.ones(())
    state = optimizer.init(params)
    _, state = optimizer.update(params, state, params)
    _, state = optimizer.update(params, state, params)
    assert float(optimizer.current_learning_rate(state)) == pytest.approx(0.75)
    with pytest.raises(ConfigError, match=r"cannot be set[\s\S]*that no schedule sets"):
        optimizer.learning_rate = 0.5


def test_without_injection_the_rate_is_out_of_reach():
    optimizer = OptaxOptimizer(optax.adam(0.1))
    state = optimizer.init(jnp.ones(2))
    for attempt in (
        lambda: optimizer.learning_rate,
        lambda: optimizer.current_learning_rate(state),
        lambda: setattr(optimizer, "learning_rate", 0.5),
    ):
        with pytest.raises(ConfigError, match=r"cannot be (read|set)[\s\S]*inject_hyperparams"):
            attempt()
    assert optimizer.sync_learning_rate(state) is state
    optimizer._kgraph_adopt_rate(state)


def test_extra_arguments_reach_the_transformation(relaxed):
    plateau = optax.contrib.reduce_on_plateau(factor=0.5, patience=1, accumulation_size=1)
    optimizer, one = OptaxOptimizer(optax.chain(optax.sgd(1.0), plateau)), jnp.ones(())
    state, seen = optimizer.init(one), []
    for _ in range(4):
        updates, state = optimizer.update(one, state, one, value=jnp.float32(1.0))
        seen.append(float(updates))
    assert seen[0] == -1.0
    assert seen[-1] > -1.0  # the value did not fall, so the steps became shorter
    own = optimizers.SGD(1.0)
    own.update(one, own.init(one), one, value=jnp.float32(1.0))  # ignored


def test_it_cannot_be_written_down():
    with pytest.raises(ConfigError, match=r"cannot be described as plain data[\s\S]*compile again"):
        optimizers.serialize(OptaxOptimizer(optax.adam(0.1)))


def test_its_state_is_a_pytree_of_arrays(relaxed):
    _, state = run_kgraph(OptaxOptimizer(optax.adam(0.1)), gradients(1.0, 1))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
