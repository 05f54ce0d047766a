"""Recurrent layers forwards and backwards, and a training step of the guide's ticket model.

kgraph, Keras, PyTorch (left out where it is not installed) and plain JAX by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import by_hand, networks, with_torch
from benchmarks.measure import Result, Run, race

SHAPE = (32, 200, 128)
"""Batch, steps and features of the layers."""

BATCH, STEPS = 32, 20
"""Of the ticket model: a timed run is an epoch of so many steps."""

Stack = Callable[[Any, Any], Any]

CASES: dict[str, Stack] = {
    "LSTM(256)": lambda L, x: L.LSTM(256, return_sequences=True)(x),
    "GRU(256)": lambda L, x: L.GRU(256, return_sequences=True)(x),
    "Bidirectional(LSTM(128))": lambda L, x: L.Bidirectional(L.LSTM(128, return_sequences=True))(x),
    "2 x LSTM(128)": lambda L, x: L.LSTM(128, return_sequences=True)(
        L.LSTM(128, return_sequences=True)(x)
    ),
}
"""From the layers of an API and a symbol to a symbol."""


def run(rounds: int = 5, names: tuple[str, ...] = (*CASES, "ticket")) -> Iterator[list[Result]]:
    """Yields the results for each case; kgraph is the baseline."""
    for name in names:
        contenders = _ticket() if name == "ticket" else _layer(name)
        torch = with_torch.contender(name)
        if torch is not None:
            contenders["PyTorch"] = torch
        for contender in contenders.values():
            contender()  # compiles
        units = STEPS if name == "ticket" else 1
        yield race(f"recurrent, {name}", contenders, units, "step", rounds)


# --- layers --------------------------------------------------------------------------------------


def _layer(name: str) -> dict[str, Run]:
    import keras

    import kgraph

    x = jnp.asarray(np.random.default_rng(0).normal(size=SHAPE), jnp.float32)
    theirs, ours = _model(keras, name), _model(kgraph, name)
    weights = theirs.get_weights()
    ours.set_weights(weights)
    program = kgraph.lower(ours)
    variables = ours.variables_for(program)
    rest = [v.value for v in theirs.non_trainable_variables]

    def kgraph_apply(params: Any, x: jax.Array) -> jax.Array:
        return program.apply({**variables, "params": params}, x)[0]

    def keras_apply(params: Any, x: jax.Array) -> jax.Array:
        return theirs.stateless_call(params, rest, x)[0]

    values = [v.value for v in theirs.trainable_variables]
    return {
        "kgraph": _backward(kgraph_apply, variables["params"], x),
        "scan by hand": _backward(BY_HAND[name], list(map(jnp.asarray, weights)), x),
        "Keras": _backward(keras_apply, values, x),
    }


def _model(api: Any, name: str) -> Any:
    inputs = api.Input(SHAPE[1:])
    return api.Model(inputs, CASES[name](api.layers, inputs))


def _backward(apply: Callable[[Any, jax.Array], jax.Array], params: Any, x: jax.Array) -> Run:
    """Returns a run of a jitted loss with its gradients by weights and input."""
    step = jax.jit(jax.value_and_grad(lambda p, x: jnp.sum(apply(p, x) ** 2), argnums=(0, 1)))
    return lambda: jax.block_until_ready(step(params, x))


def _scan(step: Callable[[Any, jax.Array], Any], start: Any, inputs: jax.Array) -> jax.Array:
    return jnp.swapaxes(jax.lax.scan(step, start, jnp.swapaxes(inputs, 0, 1))[1], 0, 1)


def _lstm(p: list[jax.Array], x: jax.Array) -> jax.Array:
    def step(carry: Any, z: jax.Array) -> Any:
        h, c = carry
        i, f, g, o = jnp.split(z + h @ p[1], 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((x.shape[0], p[1].shape[0]))
    return _scan(step, (zeros, zeros), x @ p[0] + p[2])


def _gru(p: list[jax.Array], x: jax.Array) -> jax.Array:
    def step(h: jax.Array, z: jax.Array) -> Any:
        (x_z, x_r, x_g), (h_z, h_r, h_g) = jnp.split(z, 3, -1), jnp.split(h @ p[1] + p[2][1], 3, -1)
        keep = jax.nn.sigmoid(x_z + h_z)
        h = keep * h + (1 - keep) * jnp.tanh(x_g + jax.nn.sigmoid(x_r + h_r) * h_g)
        return h, h

    return _scan(step, jnp.zeros((x.shape[0], p[1].shape[0])), x @ p[0] + p[2][0])


def _both(p: list[jax.Array], x: jax.Array) -> jax.Array:
    back = jnp.flip(_lstm(p[3:], jnp.flip(x, 1)), 1)
    return jnp.concatenate([_lstm(p[:3], x), back], axis=-1)


BY_HAND: dict[str, Callable[[list[jax.Array], jax.Array], jax.Array]] = {
    "LSTM(256)": _lstm,
    "GRU(256)": _gru,
    "Bidirectional(LSTM(128))": _both,
    "2 x LSTM(128)": lambda p, x: _lstm(p[3:], _lstm(p[:3], x)),
}


# --- the ticket model ----------------------------------------------------------------------------


def _ticket() -> dict[str, Run]:
    import keras

    import kgraph

    x, y = networks.data("ticket", BATCH * STEPS)
    return {
        "kgraph": _fit(kgraph, x, y),
        "loop by hand": _ticket_by_hand(x, y),
        "Keras": _fit(keras, x, y),
    }


def _fit(api: Any, x: Any, y: Any) -> Run:
    model = networks.ticket(api)
    losses = {
        "priority": api.losses.BinaryCrossentropy(from_logits=True),
        "department": api.losses.CategoricalCrossentropy(from_logits=True),
    }
    weights = {"priority": 1.0, "department": 0.2}
    model.compile(api.optimizers.Adam(1e-3), loss=losses, loss_weights=weights)
    return lambda: model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)


def _ticket_by_hand(x: Any, y: Any) -> Run:
    import kgraph

    apply, loss = by_hand.APPLY["ticket"]
    optimizer = optax.adam(1e-3, eps=1e-7)
    weights = networks.ticket(kgraph).get_weights()
    tables = [w for w in weights if w.shape == (10000, 64)]
    params = [jnp.array(w) for w in tables + [w for w in weights if w.shape != (10000, 64)]]
    key = jax.random.key(0)

    def update(params: Any, state: Any, x: Any, y: Any) -> Any:
        grads = jax.grad(lambda p: loss(apply(p, x, key), y))(params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    step = jax.jit(update, donate_argnums=(0, 1))
    held = [params, optimizer.init(params)]

    def epoch() -> None:
        for i in range(STEPS):
            rows = slice(i * BATCH, (i + 1) * BATCH)
            batch = ({k: v[rows] for k, v in a.items()} for a in (x, y))
            held[:] = step(*held, *batch)
        jax.block_until_ready(held)

    return epoch
