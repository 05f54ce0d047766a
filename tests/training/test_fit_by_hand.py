"""fit against the loop that somebody would write: bit for bit on CPU."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from fit_models import classes, features

import kgraph


def _model() -> Any:
    inputs = kgraph.Input((6,), name="x")
    x = kgraph.layers.Dense(8, activation="relu")(inputs)
    return kgraph.Model(inputs, kgraph.layers.Dense(4, name="y")(x))


def test_fit_equals_program_and_optax_by_hand(relaxed: None) -> None:
    model, x, y = _model(), features(), classes()
    program = kgraph.lower(model)
    params = program.init(jax.random.key(3))["params"]
    for place in program.weights.places:
        place.weight.assign(params[place.path[0]][place.path[1]])
    model.compile(optax.adamw(1e-2), kgraph.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0)

    optimizer = optax.adamw(1e-2)

    @jax.jit
    def step(params: Any, state: Any, x: Any, y: Any) -> Any:
        def loss(params: Any) -> Any:
            logits, _ = program.apply({"params": params, "state": {}}, x, training=True)
            picked = optax.softmax_cross_entropy_with_integer_labels(logits, y)
            return picked.sum() / picked.size

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for _ in range(3):
        for low in range(0, len(x), 16):
            params, state = step(params, state, x[low : low + 16], jnp.asarray(y[low : low + 16]))
    for place in program.weights.places:
        by_hand = params[place.path[0]][place.path[1]]
        np.testing.assert_allclose(place.weight.numpy(), by_hand, rtol=1e-6, atol=1e-7)


def test_a_second_model_like_the_first_trains_bit_for_bit_alike() -> None:
    def run() -> list[np.ndarray]:
        kgraph.utils.set_random_seed(5)
        inputs = kgraph.Input((6,))
        x = kgraph.layers.Dropout(0.3)(kgraph.layers.Dense(8, activation="relu")(inputs))
        model = kgraph.Model(inputs, kgraph.layers.Dense(4)(x))
        loss = kgraph.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss)
        model.fit(features(), classes(), batch_size=16, epochs=2, verbose=0)
        return model.get_weights()

    for one, other in zip(run(), run(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_two_fits_go_on_where_one_would() -> None:
    def run(parts: tuple[int, ...]) -> list[np.ndarray]:
        kgraph.utils.set_random_seed(5)
        inputs = kgraph.Input((6,))
        x = kgraph.layers.Dropout(0.3)(kgraph.layers.Dense(8, activation="relu")(inputs))
        model = kgraph.Model(inputs, kgraph.layers.Dense(4)(x))
        loss = kgraph.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss)
        for epochs in parts:
            model.fit(features(), classes(), batch_size=16, epochs=epochs, verbose=0)
        return model.get_weights()

    for one, other in zip(run((3,)), run((1, 2)), strict=True):
        np.testing.assert_array_equal(one, other)
