"""The multilayer perceptrons in flax.nnx, trained by the loop that its guides show."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import optax


def _mlp(
    width: int, units: int, x: Any, y: Any, size: tuple[int, int, int]
) -> Callable[[], object]:
    from flax import nnx

    batch, steps, epochs = size

    class MLP(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.a = nnx.Linear(width, units, rngs=rngs)
            self.b = nnx.Linear(units, units, rngs=rngs)
            self.c = nnx.Linear(units, 10, rngs=rngs)

        def __call__(self, x: jax.Array) -> jax.Array:
            return self.c(jax.nn.relu(self.b(jax.nn.relu(self.a(x)))))

    model = MLP(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.rmsprop(1e-3, decay=0.9, eps=1e-7), wrt=nnx.Param)

    @nnx.jit
    def step(model: MLP, optimizer: nnx.Optimizer, x: jax.Array, y: jax.Array) -> jax.Array:
        def loss(model: MLP) -> jax.Array:
            return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()

        value, grads = nnx.value_and_grad(loss)(model)
        optimizer.update(model, grads)
        return value

    def loop() -> object:
        value = None
        for i in [*range(steps)] * epochs:
            rows = slice(i * batch, (i + 1) * batch)
            value = step(model, optimizer, x["x"][rows], y["y"][rows])
        return jax.block_until_ready(value)

    return loop


STEPS: dict[str, Callable[..., Callable[[], object]]] = {
    "tiny": partial(_mlp, 20, 32),
    "guide_mlp": partial(_mlp, 784, 64),
}
