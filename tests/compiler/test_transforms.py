"""`init` and `apply` are ordinary JAX functions: under every transformation."""

from __future__ import annotations

import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

import kgraph
from kgraph import Input, Model
from kgraph.layers import BatchNormalization, Conv1D, Dense, Dropout, GlobalAveragePooling1D

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def program():
    x = Input((3,))
    y = Dropout(0.25)(BatchNormalization()(Dense(4, "relu")(x)))
    return kgraph.lower(Model(x, Dense(1)(y)))


def loss(program, params, state, x, training=False, key=None):
    y, _ = program.apply({"params": params, "state": state}, x, training=training, key=key)
    return (y**2).mean()


def close(found, wanted):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), found, wanted)


def test_jit(program):
    variables = jax.jit(program.init)(KEY)
    close(variables, program.init(KEY))
    train = functools.partial(program.apply, training=True)
    close(jax.jit(train)(variables, X, key=KEY), train(variables, X, key=KEY))


def test_grad(program):
    variables = program.init(KEY)
    params, state = variables["params"], variables["state"]
    found = jax.jit(jax.grad(functools.partial(loss, program)))(params, state, X)
    assert jax.tree.structure(found) == jax.tree.structure(params)

    def by_hand(kernel):
        changed = {**params, "dense_1": {**params["dense_1"], "kernel": kernel}}
        return loss(program, changed, state, X)

    kernel = params["dense_1"]["kernel"]
    step = 1e-2 * jnp.ones_like(kernel)
    slope = (by_hand(kernel + step) - by_hand(kernel - step)) / 2
    np.testing.assert_allclose((found["dense_1"]["kernel"] * step).sum(), slope, rtol=1e-2)


def test_vmap_over_an_ensemble(program):
    keys = jax.random.split(KEY, 3)
    ensemble = jax.vmap(program.init)(keys)
    found, _ = jax.vmap(program.apply, in_axes=(0, None))(ensemble, X)
    assert found.shape == (3, 8, 1)
    for i in range(3):
        close(found[i], program.apply(program.init(keys[i]), X)[0])


def test_scan_over_steps(program):
    variables = program.init(KEY)
    params = variables["params"]

    def step(state, batch):
        x, key = batch
        y, state = program.apply({"params": params, "state": state}, x, training=True, key=key)
        return state, y

    xs, keys = jnp.stack([X, 2 * X]), jax.random.split(KEY)
    state, ys = jax.lax.scan(step, variables["state"], (xs, keys))
    by_hand = variables["state"]
    for i in range(2):
        by_hand, y = step(by_hand, (xs[i], keys[i]))
        close(ys[i], y)
    close(state, by_hand)


def test_remat(program):
    variables = program.init(KEY)
    params, state = variables["params"], variables["state"]
    plain = functools.partial(loss, program, training=True, key=KEY)
    found = jax.grad(jax.checkpoint(plain))(params, state, X)
    close(found, jax.grad(plain)(params, state, X))


def test_shard_map_over_eight_devices(program):
    if len(jax.devices()) < 8:
        pytest.skip("needs 8 (virtual) devices")
    mesh = Mesh(np.array(jax.devices()[:8]), ("data",))
    spread = PartitionSpec("data")
    variables = program.init(KEY)
    mapped = jax.shard_map(
        lambda v, x: program.apply(v, x)[0],
        mesh=mesh, in_specs=(PartitionSpec(), spread), out_specs=spread,
    )  # fmt: skip
    close(jax.jit(mapped)(variables, X), program.apply(variables, X)[0])


def test_eval_shape(program):
    described = jax.eval_shape(program.init, KEY)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), described) == jax.tree.map(
        lambda a: (a.shape, a.dtype), program.init(KEY)
    )
    out, _ = jax.eval_shape(program.apply, described, jax.ShapeDtypeStruct((5, 3), jnp.float32))
    assert out.shape == (5, 1)


def test_export_with_symbolic_sizes():
    x = Input(("time", 4))
    model = Model(x, Dense(2)(GlobalAveragePooling1D()(Conv1D(3, 3)(x))))
    program = kgraph.lower(model)
    variables = program.init(KEY)
    shape = jax.export.symbolic_shape("b, t, 4", constraints=["t >= 3"])
    exported = jax.export.export(jax.jit(lambda v, x: program.apply(v, x)[0]))(
        variables, jax.ShapeDtypeStruct(shape, jnp.float32)
    )
    for sizes in ((2, 5), (3, 9)):
        data = np.ones((*sizes, 4), np.float32)
        close(exported.call(variables, data), program.apply(variables, data)[0])


def test_export_for_another_platform(program):
    exported = jax.export.export(jax.jit(lambda v, x: program.apply(v, x)[0]), platforms=("tpu",))(
        jax.eval_shape(program.init, KEY), jax.ShapeDtypeStruct((4, 3), jnp.float32)
    )
    assert exported.platforms == ("tpu",)


def test_second_derivatives(program):
    variables = program.init(KEY)
    kernel = variables["params"]["dense"]["bias"]

    def f(bias):
        params = {**variables["params"], "dense": {**variables["params"]["dense"], "bias": bias}}
        return loss(program, params, variables["state"], X)

    assert np.isfinite(jax.hessian(f)(kernel)).all()


def test_a_run_that_raises_leaves_nothing_behind(program):
    variables = program.init(KEY)
    before = program.apply(variables, X, training=True, key=KEY)
    with pytest.raises(kgraph.errors.KGraphError):
        program.apply(variables, X, training=True)
    close(program.apply(variables, X, training=True, key=KEY), before)
