"""The options that all optimizers share, against Keras where Keras has the same meaning."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest
from optimizer_oracle import (
    RULE_NAMES,
    assert_same_weights,
    gradients,
    random_tree,
    run_keras,
    run_kgraph,
)

from kgraph import optimizers
from kgraph.errors import ConfigError

OPTIONS = [
    {"weight_decay": 0.1},
    {"clipnorm": 0.5},
    {"clipvalue": 0.3},
    {"global_clipnorm": 0.5},
    {"clipnorm": 1e-6, "weight_decay": 0.05},
    {"loss_scale_factor": 128.0},
    {"loss_scale_factor": 64.0, "clipvalue": 1e-3},
    {"use_ema": True, "ema_momentum": 0.7},
    {"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 4},
    {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 4, "global_clipnorm": 0.5, "weight_decay": 0.1},
]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SGD", "Adam", "Lamb"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_option_gives_the_weights_of_keras(name, options):
    grads = gradients(1.0, 14)
    ours, _ = run_kgraph(getattr(optimizers, name)(0.05, **options), grads)
    theirs = run_keras(getattr(keras.optimizers, name)(0.05, **options), grads)
    assert_same_weights(ours, theirs)


@pytest.mark.parametrize("frequency", [None, 4])
def test_finalize_returns_the_average_of_keras(frequency):
    options = {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": frequency}
    grads = gradients(1.0, 10)
    optimizer = optimizers.Adam(0.05, **options)
    params, state = run_kgraph(optimizer, grads)
    theirs = run_keras(keras.optimizers.Adam(0.05, **options), grads, finalize=True)
    assert_same_weights(optimizer.finalize(params, state), theirs)
    assert_same_weights(optimizer.averaged(state), theirs)


def test_finalize_without_an_average_returns_the_parameters():
    optimizer = optimizers.Adam()
    params, state = run_kgraph(optimizer, gradients(1.0, 1))
    assert optimizer.finalize(params, state) is params
    with pytest.raises(ConfigError, match=r"keeps no average[\s\S]*use_ema=True"):
        optimizer.averaged(state)


def test_the_average_shares_no_buffer_with_the_parameters():
    optimizer = optimizers.SGD(use_ema=True)
    params = random_tree(np.random.default_rng(0))
    state = optimizer.init(params)
    step = jax.jit(lambda p, s: optimizer.update(p, s, p), donate_argnums=(0, 1))
    step(optimizer.finalize(params, state), state)  # the same buffer twice would be refused


def test_decay_spares_excluded_paths_as_keras_does():
    grads = gradients(1.0, 6)
    ours, theirs = optimizers.AdamW(0.05, 0.5), keras.optimizers.AdamW(0.05, 0.5)
    for optimizer in (ours, theirs):
        optimizer.exclude_from_weight_decay(var_names=["bias", "^sta.k$|stack"])
    decayed, _ = run_kgraph(optimizers.AdamW(0.05, 0.5), grads)
    spared, _ = run_kgraph(ours, grads)
    assert_same_weights(spared, run_keras(theirs, grads))
    assert (spared["dense"]["bias"] != decayed["dense"]["bias"]).all()
    assert (spared["dense"]["kernel"] == decayed["dense"]["kernel"]).all()


def test_decay_can_spare_a_whole_scope():
    optimizer = optimizers.SGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(["^dense/"])
    params = random_tree(np.random.default_rng(0))
    nothing = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(nothing, optimizer.init(params), params)
    assert (updates["dense"]["kernel"] == 0).all()
    assert (updates["scan"]["stack"] != 0).all()


def test_accumulation_updates_once_every_k_gradients():
    optimizer = optimizers.Adam(0.1, gradient_accumulation_steps=3)
    params = random_tree(np.random.default_rng(0))
    state, steps, moved = optimizer.init(params), [], []
    for gradient in gradients(1.0, 7):
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        steps.append(int(state.step))
        moved.append(bool((updates["dense"]["bias"] != 0).all()))
    assert steps == [0, 0, 1, 1, 1, 2, 2]
    assert moved == [False, False, True, False, False, True, False]
    assert int(state.micro_step) == 1


def test_schedules_and_averages_count_updates_not_gradients():
    schedule = optimizers.schedules.PiecewiseConstantDecay([0], [1.0, 0.1])
    optimizer = optimizers.SGD(schedule, gradient_accumulation_steps=2, use_ema=True)
    params, state = jnp.zeros(()), optimizer.init(jnp.zeros(()))
    trail, averages = [], []
    for _ in range(4):
        updates, state = optimizer.update(jnp.ones(()), state, params)
        params = params + updates
        trail.append(float(params))
        averages.append(float(state.average))
    assert trail == pytest.approx([0.0, -1.0, -1.0, -1.1])
    assert averages == pytest.approx([0.0, -1.0, -1.0, -1.001])


def test_a_norm_that_is_not_finite_shows_as_nan():
    optimizer = optimizers.SGD(global_clipnorm=1.0)
    params = {"a": jnp.zeros(2), "b": jnp.zeros(2)}
    grads = {"a": jnp.array([jnp.inf, 1.0]), "b": jnp.ones(2)}
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    assert jnp.isnan(updates["b"]).all()


def test_a_zero_gradient_survives_clipping_by_norm():
    optimizer = optimizers.SGD(clipnorm=1.0)
    updates, _ = optimizer.update(jnp.zeros(3), optimizer.init(jnp.ones(3)), jnp.ones(3))
    assert (updates == 0).all()


def test_the_loss_is_scaled_and_the_gradient_unscaled():
    optimizer = optimizers.SGD(1.0, loss_scale_factor=1024.0)
    params = jnp.array(3.0)
    gradient = jax.grad(lambda p: optimizer.scale_loss(p**2))(params)
    assert float(gradient) == 6 * 1024
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    assert float(updates) == -6


@pytest.mark.parametrize("name", RULE_NAMES)
def test_bfloat16_parameters_stay_bfloat16(name):
    optimizer = getattr(optimizers, name)(
        0.1, weight_decay=0.1, gradient_accumulation_steps=2, use_ema=True
    )
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), random_tree(np.random.default_rng(0)))
    state = optimizer.init(params)
    spec = jax.eval_shape(lambda: (params, state))
    assert jax.eval_shape(optimizer.update, params, state, params) == spec


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"clipnorm": 1.0, "clipvalue": 1.0}, r"one way only[\s\S]*clipnorm=1.0, clipvalue=1.0"),
        ({"global_clipnorm": -1.0}, r"positive clipping limit[\s\S]*global_clipnorm=-1.0"),
        (
            {"ema_momentum": 1.5},
            r"cannot have this value of `ema_momentum`[\s\S]*from 0 to 1[\s\S]*1\.5",
        ),
        ({"ema_overwrite_frequency": 0}, r"`ema_overwrite_frequency`[\s\S]*at least 1"),
        ({"gradient_accumulation_steps": 1}, r"`gradient_accumulation_steps`[\s\S]*at least 2"),
        ({"lr": 0.1}, r"Adam has no option 'lr'[\s\S]*try +learning_rate"),
        ({"weight_deca": 0.1}, r"Adam has no option 'weight_deca'[\s\S]*'weight_decay'"),
    ],
)
def test_a_wrong_option_is_explained(options, text):
    with pytest.raises(ConfigError, match=text):
        optimizers.Adam(**options)


def test_a_subclass_without_a_rule_is_told_what_to_write():
    class Empty(optimizers.Optimizer):
        pass

    with pytest.raises(ConfigError, match=r"Empty does not say how[\s\S]*transformation\(self"):
        Empty().init(jnp.ones(2))


def test_a_subclass_needs_a_rule_only():
    class Plain(optimizers.Optimizer):
        def transformation(self, learning_rate):
            return optax.sgd(learning_rate)

    grads = gradients(1.0, 3)
    ours, _ = run_kgraph(Plain(0.1, weight_decay=0.1), grads)
    expected, _ = run_kgraph(optimizers.SGD(0.1, weight_decay=0.1), grads)
    assert_same_weights(ours, expected, 1e-6)
