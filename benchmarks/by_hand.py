"""The same four networks as plain JAX functions, as somebody would write them without a library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

Params = list[Any]


def _dense(x: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    return x @ w + b


def _conv(x: jax.Array, w: jax.Array, b: jax.Array, padding: str = "VALID") -> jax.Array:
    y = jax.lax.conv_general_dilated(
        x, w, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jax.nn.relu(y + b)


def _lstm(x: jax.Array, w: jax.Array, u: jax.Array, b: jax.Array) -> jax.Array:
    units = u.shape[0]
    projected = jnp.swapaxes(x @ w + b, 0, 1)

    def step(carry: Any, z: jax.Array) -> Any:
        h, c = carry
        i, f, g, o = jnp.split(z + h @ u, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), None

    zeros = jnp.zeros((x.shape[0], units))
    return jax.lax.scan(step, (zeros, zeros), projected)[0][0]


def mlp(p: Params, x: dict[str, jax.Array], key: jax.Array) -> dict[str, jax.Array]:
    h = jax.nn.relu(_dense(x["x"], p[0], p[1]))
    h = jax.nn.relu(_dense(h, p[2], p[3]))
    return {"y": _dense(h, p[4], p[5])}


def resnet(p: Params, x: dict[str, jax.Array], key: jax.Array) -> dict[str, jax.Array]:
    h = _conv(x["x"], p[0], p[1])
    h = _conv(h, p[2], p[3])
    h = jax.lax.reduce_window(h, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 3, 3, 1), "VALID")
    for i in (4, 8):
        block = _conv(h, p[i], p[i + 1], "SAME")
        h = _conv(block, p[i + 2], p[i + 3], "SAME") + h
    h = _conv(h, p[12], p[13]).mean((1, 2))
    h = jax.nn.relu(_dense(h, p[14], p[15]))
    keep = jax.random.bernoulli(key, 0.5, h.shape)
    h = jnp.where(keep, h / 0.5, 0.0)
    return {"y": _dense(h, p[16], p[17])}


def ticket(p: Params, x: dict[str, jax.Array], key: jax.Array) -> dict[str, jax.Array]:
    a = _lstm(p[0][x["title"]], p[2], p[3], p[4])
    b = _lstm(p[1][x["body"]], p[5], p[6], p[7])
    h = jnp.concatenate([a, b, x["tags"]], axis=-1)
    return {"priority": _dense(h, p[8], p[9]), "department": _dense(h, p[10], p[11])}


def _sparse_loss(outputs: dict[str, jax.Array], y: dict[str, jax.Array]) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(outputs["y"], y["y"]).mean()


def _ticket_loss(outputs: dict[str, jax.Array], y: dict[str, jax.Array]) -> jax.Array:
    priority = optax.sigmoid_binary_cross_entropy(outputs["priority"], y["priority"]).mean()
    log_p = jax.nn.log_softmax(outputs["department"])
    return priority - 0.2 * (y["department"] * log_p).sum(-1).mean()


APPLY: dict[str, tuple[Callable[..., Any], Callable[..., jax.Array]]] = {
    "tiny": (mlp, _sparse_loss),
    "guide_mlp": (mlp, _sparse_loss),
    "resnet": (resnet, _sparse_loss),
    "ticket": (ticket, _ticket_loss),
}


def _step(name: str) -> tuple[Callable[..., Any], Callable[[Params], Any]]:
    apply, loss = APPLY[name]
    optimizer = optax.rmsprop(1e-3, decay=0.9, eps=1e-7)

    def step(carry: Any, x: Any, y: Any) -> Any:
        params, state, key, total = carry
        key, own = jax.random.split(key)
        value, grads = jax.value_and_grad(lambda p: loss(apply(p, x, own), y))(params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, key, total + value

    return step, optimizer.init


def make_step(name: str) -> tuple[Callable[..., Any], Callable[[Params], Any]]:
    """Returns a jitted, donated training step, and the initial optimizer state for parameters."""
    step, init = _step(name)
    return jax.jit(step, donate_argnums=0), init


def make_epoch(name: str) -> tuple[Callable[..., Any], Callable[[Params], Any]]:
    """Returns a jitted, donated `lax.scan` of the step over batches, and the initial state."""
    step, init = _step(name)

    def epoch(carry: Any, batches: Any) -> Any:
        return jax.lax.scan(lambda c, batch: (step(c, *batch), None), carry, batches)[0]

    return jax.jit(epoch, donate_argnums=0), init
