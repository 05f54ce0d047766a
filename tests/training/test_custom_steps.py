"""Training steps that users write: by `loss_fn` in fit, and by hand with the program and optax."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import kgraph
from kgraph.types import Array, Tree

ROWS, SIZE = 24, 5
RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(ROWS, SIZE)).astype("float32")
Y = RANDOM.integers(0, 3, ROWS).astype("int32")


def classifier() -> kgraph.Model:
    inputs = kgraph.Input((SIZE,), name="x")
    hidden = kgraph.layers.Dense(6, activation="tanh")(inputs)
    return kgraph.Model(inputs, kgraph.layers.Dense(3)(hidden))


def with_slope(
    program: kgraph.Program, variables: Tree, x: Array, y: Array
) -> tuple[Array, Array, Array]:
    """Returns cross-entropy, squared slope by the inputs, and logits."""

    def total(x: Array) -> tuple[Array, tuple[Array, Array]]:
        logits, _ = program.apply(variables, x)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
        return losses.sum(), (losses.mean(), logits)

    slope, (loss, logits) = jax.grad(total, has_aux=True)(x)
    return loss, jnp.mean(jnp.sum(slope**2, axis=-1)), logits


def penalized(program: Any, variables: Tree, batch: Any, key: Any) -> tuple[Array, dict[str, Any]]:
    loss, penalty, logits = with_slope(program, variables, batch.x, batch.y)
    return loss + 0.5 * penalty, {"penalty": penalty, "outputs": logits}


@pytest.mark.usefixtures("relaxed")  # optax.adam leans on promotion
def test_a_gradient_penalty_in_fit_is_the_loop_by_hand() -> None:
    model = classifier()
    program, optimizer = kgraph.lower(model), optax.adam(0.05)
    params = model.variables_for(program)["params"]

    def loss_of(params: Tree, x: Array, y: Array) -> tuple[Array, Array]:
        loss, penalty, _ = with_slope(program, {"params": params, "state": {}}, x, y)
        return loss + 0.5 * penalty, penalty

    @jax.jit
    def step(params: Tree, state: Tree, x: Array, y: Array) -> tuple[Tree, Tree, Array, Array]:
        (loss, penalty), grads = jax.value_and_grad(loss_of, has_aux=True)(params, x, y)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, loss, penalty

    start = jax.tree.map(np.array, params)
    state, seen = optimizer.init(params), []
    for i in range(0, ROWS, 8):
        params, state, *numbers = step(params, state, X[i : i + 8], Y[i : i + 8])
        seen.append(numbers)

    model.compile(optax.adam(0.05), loss_fn=penalized, metrics=["sparse_categorical_accuracy"])
    history = model.fit(X, Y, batch_size=8, epochs=1, shuffle=False, verbose=0).history
    trained = model.variables_for(program)["params"]
    # Both compute the same operations; XLA may fuse them differently inside fit's block of steps.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), trained, params
    )
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), start, trained)
    assert min(jax.tree.leaves(moved)) > 0.01
    np.testing.assert_allclose(
        [history["loss"][0], history["penalty"][0]], np.mean(seen, axis=0), rtol=1e-5
    )

    logs = model.evaluate(X, Y, verbose=0, return_dict=True)
    loss, penalty, logits = with_slope(program, {"params": trained, "state": {}}, X, jnp.array(Y))
    np.testing.assert_allclose(logs["penalty"], penalty, rtol=1e-5)
    np.testing.assert_allclose(logs["loss"], loss + 0.5 * penalty, rtol=1e-5)
    right = np.mean(np.asarray(logits).argmax(axis=-1) == Y)
    np.testing.assert_allclose(logs["sparse_categorical_accuracy"], right, rtol=1e-6)


@pytest.mark.usefixtures("relaxed")
def test_two_networks_train_against_each_other() -> None:
    noise = kgraph.Input((2,))
    maker = kgraph.lower(kgraph.Model(noise, kgraph.layers.Dense(SIZE)(noise)))
    picture = kgraph.Input((SIZE,))
    hidden = kgraph.layers.Dropout(0.2)(kgraph.layers.Dense(4, activation="silu")(picture))
    judge = kgraph.lower(kgraph.Model(picture, kgraph.layers.Dense(1)(hidden)))
    adam = optax.adam(0.02)

    def make(params: Tree, key: Array) -> Array:
        return maker.apply({"params": params, "state": {}}, jax.random.normal(key, (8, 2)))[0]

    def verdict(params: Tree, pictures: Array, real: float, key: Array) -> Array:
        variables = {"params": params, "state": {}}
        logits, _ = judge.apply(variables, pictures, training=True, key=key)
        return optax.sigmoid_binary_cross_entropy(logits, jnp.full_like(logits, real)).mean()

    @jax.jit
    def step(params: Tree, states: Tree, real: Array, key: Array) -> tuple[Tree, Tree, Array]:
        keys = jax.random.split(key, 3)

        def judge_loss(own: Tree) -> Array:
            false = make(params["maker"], keys[0])
            return verdict(own, real, 1.0, keys[1]) + verdict(own, false, 0.0, keys[2])

        def maker_loss(own: Tree) -> Array:
            return verdict(params["judge"], make(own, keys[0]), 1.0, keys[2])

        params, states, losses = dict(params), dict(states), []
        for name, loss in (("judge", judge_loss), ("maker", maker_loss)):
            value, grads = jax.value_and_grad(loss)(params[name])
            updates, states[name] = adam.update(grads, states[name])
            params[name] = optax.apply_updates(params[name], updates)
            losses.append(value)
        return params, states, jnp.stack(losses)

    key = jax.random.key(0)
    before = {"maker": maker.init(key)["params"], "judge": judge.init(key)["params"]}
    params, states = before, {name: adam.init(tree) for name, tree in before.items()}
    losses = []
    for number in range(3):
        params, states, found = step(params, states, X[:8], jax.random.fold_in(key, number))
        losses.append(found)
    assert np.isfinite(losses).all()
    assert (np.asarray(losses) > 0).all()
    moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), before, params)
    assert len(jax.tree.leaves(moved)) == 6  # kernel and bias of three Dense layers
    assert min(jax.tree.leaves(moved)) > 0.01


def test_gradients_of_examples_average_to_that_of_the_batch_and_can_be_clipped() -> None:
    model = classifier()
    program = kgraph.lower(model)
    params = model.variables_for(program)["params"]

    def loss(params: Tree, x: Array, y: Array) -> Array:
        logits, _ = program.apply({"params": params, "state": {}}, x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    def of_one(params: Tree, x: Array, y: Array) -> Array:
        return loss(params, x[None], y[None])

    def clip(gradient: Tree, length: float) -> Tree:
        norm = optax.tree.norm(gradient)
        return jax.tree.map(lambda g: g * jnp.minimum(1.0, length / norm), gradient)

    @jax.jit
    def gradients(params: Tree, x: Array, y: Array) -> tuple[Tree, Tree, Array, Array]:
        each = jax.vmap(jax.grad(of_one), in_axes=(None, 0, 0))(params, x, y)
        clipped = jax.vmap(lambda g: clip(g, 0.5))(each)
        norms, after = jax.vmap(optax.tree.norm)(each), jax.vmap(optax.tree.norm)(clipped)
        return each, jax.grad(loss)(params, x, y), norms, after

    each, whole, norms, after = gradients(params, X, Y)
    assert jax.tree.leaves(each)[0].shape[0] == ROWS
    # Sums of 24 numbers in another order: a few float32 roundings.
    jax.tree.map(
        lambda e, w: np.testing.assert_allclose(e.mean(axis=0), w, rtol=1e-4, atol=1e-6),
        each, whole,
    )  # fmt: skip
    assert norms.max() > 0.5  # there is something to clip
    np.testing.assert_allclose(after, np.minimum(norms, 0.5), rtol=1e-5)
