"""Dynamic loss scaling: the scale and the weights of Keras, through overflow and back."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest
from optimizer_oracle import assert_same_weights, gradients, path_names, random_tree

from kgraph import optimizers
from kgraph.errors import ConfigError

BAD = {3: np.inf, 4: np.nan, 9: -np.inf}
"""Steps whose gradients have one number that is not finite."""


def scaled(gradient, scale, step):
    """Returns the gradients of the scaled loss, damaged at some steps."""
    tree = jax.tree.map(lambda g: g * scale, gradient)
    if step in BAD:
        tree["dense"]["bias"] = tree["dense"]["bias"].at[2].set(BAD[step])
    return tree


def run_ours(optimizer, grads):
    params = random_tree(np.random.default_rng(0))
    state, update, scales = optimizer.init(params), jax.jit(optimizer.update), []
    for step, gradient in enumerate(grads):
        scales.append(float(optimizer.scale_loss(jnp.float32(1), state)))
        updates, state = update(scaled(gradient, scales[-1], step), state, params)
        params = optax.apply_updates(params, updates)
    return params, state, scales


def run_theirs(optimizer, grads):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        leaves, structure = jax.tree.flatten(random_tree(np.random.default_rng(0)))
        variables = [keras.Variable(leaf, name=path.split("/")[1])
                     for path, leaf in zip(path_names(), leaves, strict=True)]  # fmt: skip
        optimizer.build(variables)
        apply, scales = jax.jit(optimizer.stateless_apply), []
        for step, gradient in enumerate(grads):
            scales.append(float(optimizer.dynamic_scale.value))
            weights, state = apply(
                [v.value for v in optimizer.variables],
                jax.tree.leaves(scaled(gradient, scales[-1], step)),
                [v.value for v in variables],
            )
            for variable, value in zip((*variables, *optimizer.variables), (*weights, *state)):
                variable.assign(value)
        return structure.unflatten([v.value for v in variables]), scales


@pytest.mark.parametrize("name", ["Adam", "SGD"])
def test_scales_and_weights_are_those_of_keras(name):
    options = {"SGD": {"momentum": 0.9, "weight_decay": 0.01}}.get(name, {"clipnorm": 1.0})
    ours, theirs = (
        library.LossScaleOptimizer(
            getattr(library, name)(0.01, **options), initial_scale=64.0, dynamic_growth_steps=2
        )
        for library in (optimizers, keras.optimizers)
    )
    grads = gradients(1.0, 14)
    params, state, scales = run_ours(ours, grads)
    expected, their_scales = run_theirs(theirs, grads)
    assert scales == their_scales
    assert set(scales) == {32.0, 64.0, 128.0}
    assert int(state.step) == len(grads) - len(BAD)
    assert_same_weights(params, expected)


def test_a_skipped_step_leaves_everything_but_the_scale():
    optimizer = optimizers.LossScaleOptimizer("adam", initial_scale=8.0)
    params = random_tree(np.random.default_rng(0))
    before = optimizer.init(params)
    bad = jax.tree.map(lambda p: p * np.nan, params)
    updates, after = optimizer.update(bad, before, params)
    assert not any(leaf.any() for leaf in jax.tree.leaves(updates))
    jax.tree.map(np.testing.assert_array_equal, before.inner, after.inner)
    assert (float(after.scale), int(after.finite_steps)) == (4.0, 0)


def test_the_scale_never_reaches_zero_or_infinity():
    """In Keras it does, and from neither it comes back."""
    optimizer = optimizers.LossScaleOptimizer("sgd", initial_scale=2.0**125, dynamic_growth_steps=1)
    params = {"w": jnp.ones(2)}
    update, state = jax.jit(optimizer.update), optimizer.init(params)
    for _ in range(4):
        _, state = update({"w": jnp.zeros(2)}, state, params)
    assert float(state.scale) == 2.0**126
    for _ in range(300):
        _, state = update({"w": jnp.full(2, jnp.nan)}, state, params)
    assert 0 < float(state.scale) < 1e-37
    updates, _ = update({"w": state.scale * jnp.ones(2)}, state, params)
    np.testing.assert_allclose(updates["w"], -0.01, rtol=1e-5)


@pytest.mark.parametrize("name", ["Muon", "ScheduleFreeAdamW"])
@pytest.mark.slow
def test_wrapped_a_rule_makes_the_updates_that_it_makes_alone(name):
    make = getattr(optimizers, name)
    grads = gradients(1.0, 3)
    ours, state, _ = run_ours(optimizers.LossScaleOptimizer(make(0.01, use_ema=True)), grads)
    params = random_tree(np.random.default_rng(0))
    alone = make(0.01, use_ema=True)
    expected_state = alone.init(params)
    for gradient in grads:
        updates, expected_state = alone.update(gradient, expected_state, params)
        params = optax.apply_updates(params, updates)
    assert_same_weights(ours, params)
    wrapper = optimizers.LossScaleOptimizer(alone)
    assert wrapper.use_ema
    for of in ("averaged", "finalize"):
        mine = getattr(wrapper, of)(*((ours,) if of == "finalize" else ()), state)
        theirs = getattr(alone, of)(*((params,) if of == "finalize" else ()), expected_state)
        assert_same_weights(mine, theirs)


def test_an_optax_transformation_can_be_wrapped(relaxed):
    optimizer = optimizers.LossScaleOptimizer(optax.adam(0.01))
    params, state, _ = run_ours(optimizer, gradients(1.0, 5))
    assert jax.tree.all(jax.tree.map(lambda p: bool(jnp.isfinite(p).all()), params))
    assert int(state.step) == 3


def test_the_learning_rate_is_that_of_the_inner_optimizer():
    optimizer = optimizers.LossScaleOptimizer(optimizers.SGD(0.5))
    state = optimizer.init({"w": jnp.ones(2)})
    assert optimizer.sync_learning_rate(state) is state
    optimizer.learning_rate = 0.25
    state = optimizer.sync_learning_rate(state)
    assert float(optimizer.current_learning_rate(state)) == optimizer.learning_rate == 0.25
    other = optimizers.LossScaleOptimizer("sgd")
    other._kgraph_adopt_rate(state)
    assert other.inner_optimizer.learning_rate == 0.25


def test_it_survives_its_config_and_reads_that_of_keras():
    inner = optimizers.AdamW(0.25, clipnorm=0.5)
    inner.exclude_from_weight_decay(["bias"])
    optimizer = optimizers.LossScaleOptimizer(inner, 2.0**10, 5, name="mine")
    again = optimizers.deserialize(json.loads(json.dumps(optimizers.serialize(optimizer))))
    assert again.get_config() == optimizer.get_config()
    assert (again.name, again.initial_scale, again.dynamic_growth_steps) == ("mine", 1024.0, 5)
    assert again.inner_optimizer.get_config() == inner.get_config()
    theirs = keras.optimizers.LossScaleOptimizer(keras.optimizers.RMSprop(0.125, rho=0.5), 8.0)
    read = optimizers.deserialize(keras.optimizers.serialize(theirs))
    assert (read.initial_scale, read.learning_rate, read.inner_optimizer.rho) == (8.0, 0.125, 0.5)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda make: make("adam", clipnorm=1.0), r"'clipnorm' of its own[\s\S]*Adam\(clipnorm"),
        (lambda make: make("adam", speed=1.0), r"has no 'speed'"),
        (lambda make: make(optimizers.SGD(loss_scale_factor=2.0)), r"scales the loss itself"),
        (lambda make: make(make("adam")), r"scales the loss itself[\s\S]*LossScaleOptimizer"),
        (lambda make: make("adam", initial_scale=0.0), r"`initial_scale`[\s\S]*0\.0"),
        (lambda make: make("adam", dynamic_growth_steps=0), r"`dynamic_growth_steps`"),
        (lambda make: make("adam").scale_loss(jnp.float32(1)), r"scale_loss\(loss, state\)"),
    ],
    ids=["inner option", "no option", "factor", "nested", "zero", "growth", "no state"],
)
def test_what_cannot_work_is_refused(make, text):
    with pytest.raises(ConfigError, match=text):
        make(optimizers.LossScaleOptimizer)
