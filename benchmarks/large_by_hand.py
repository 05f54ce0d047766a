"""A decoder, ResNet50 and their training steps as plain JAX functions, for several devices too.

Weights are a list in the order in which Keras' layers make them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding

Weights = list[jax.Array]
Apply = Callable[[Weights, Any, jax.Array], tuple[Any, Weights]]
"""From weights, inputs and a key to outputs and the weights as they are afterwards."""

BLOCK = 16
"""Weights of one block of a decoder."""


def constant(function: Callable[[Weights, Any, jax.Array], Any]) -> Apply:
    """Returns a function that also hands on its weights, which it does not change."""
    return lambda p, x, key: (function(p, x, key), p)


# --- a decoder -----------------------------------------------------------------------------------


def norm(x: jax.Array, scale: jax.Array, shift: jax.Array) -> jax.Array:
    """Layer normalization; the statistics are float32."""
    wide = x.astype(jnp.float32)
    mean = wide.mean(-1, keepdims=True)
    variance = ((wide - mean) ** 2).mean(-1, keepdims=True)
    return ((wide - mean) * jax.lax.rsqrt(variance + 1e-3) * scale + shift).astype(x.dtype)


Attention = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""Of query, key and value `[batch, time, heads, size]`; no later position is seen."""


def by_xla(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """Attention with all scores in memory."""
    return jax.nn.dot_product_attention(query, key, value, is_causal=True)


def splash(query: jax.Array, key: jax.Array, value: jax.Array, rows: NamedSharding) -> jax.Array:
    """Attention by JAX's kernel for TPUs, on each device for its rows."""
    from jax.experimental.pallas.ops.tpu import splash_attention as kernels

    length, heads, size = query.shape[1:]
    names = "block_q", "block_kv", "block_kv_compute", "block_q_dkv", "block_kv_dkv"
    names += "block_kv_dkv_compute", "block_q_dq", "block_kv_dq"
    call: Any = kernels.make_splash_mha(
        kernels.MultiHeadMask([kernels.CausalMask((length, length))] * heads), head_shards=1,
        q_seq_shards=1, block_sizes=kernels.BlockSizes(**dict.fromkeys(names, 512)),
    )  # fmt: skip

    def local(*arrays: jax.Array) -> jax.Array:
        query, key, value = (jnp.swapaxes(x, 1, 2) for x in arrays)
        return jnp.swapaxes(jax.vmap(call)(query * size**-0.5, key, value), 1, 2)

    mesh, spec = rows.mesh, rows.spec
    spread = jax.shard_map(local, mesh=mesh, in_specs=(spec,) * 3, out_specs=spec, check_vma=False)
    return spread(query, key, value)


def block(x: jax.Array, p: Sequence[jax.Array], attention: Attention) -> jax.Array:
    """Attention and a feed-forward part, each normalized before and added to its input."""
    norms = {0, 1, 10, 11}
    p = [w if n in norms else w.astype(x.dtype) for n, w in enumerate(p)]
    h = norm(x, p[0], p[1])
    q, k, v = (jnp.einsum("btd,dhe->bthe", h, p[n]) + p[n + 1] for n in (2, 4, 6))
    x = x + jnp.einsum("bthe,hed->btd", attention(q, k, v), p[8]) + p[9]
    h = norm(x, p[10], p[11])
    return x + jax.nn.gelu(h @ p[12] + p[13], approximate=False) @ p[14] + p[15]


def decoder(
    p: Weights, x: jax.Array, key: jax.Array,
    scan: bool = False, remat: bool = False, dtype: str = "float32",
    rows: NamedSharding | None = None, attention: Attention = by_xla,
) -> jax.Array:  # fmt: skip
    """Logits of the next word: embedding, causal blocks, the head.

    Args:
        p, x, key: weights, words `[rows, length]`; nothing is drawn.
        scan: the weights of the blocks are stacked, and one body computes them.
        remat: blocks are computed again in the backward pass.
        dtype: to compute in; norms have float32 in between.
        rows: where what enters a block lies; left to the compiler without it.
        attention: its form.
    """
    words, *inner, scale, shift, kernel, bias = p

    def one(h: jax.Array, weights: Sequence[jax.Array]) -> jax.Array:
        h = h if rows is None else jax.lax.with_sharding_constraint(h, rows)
        return block(h, weights, attention)

    one = jax.checkpoint(one) if remat else one
    h = words.astype(dtype)[x]
    if scan:
        h, _ = jax.lax.scan(lambda h, weights: (one(h, weights), None), h, inner)
    else:
        for n in range(0, len(inner), BLOCK):
            h = one(h, inner[n : n + BLOCK])
    return norm(h, scale, shift) @ kernel.astype(dtype) + bias.astype(dtype)


def stacked(shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Returns the shapes of a decoder's weights with those of its blocks stacked."""
    count = (len(shapes) - 5) // BLOCK
    return [shapes[0], *((count, *shape) for shape in shapes[1 : BLOCK + 1]), *shapes[-4:]]


# --- ResNet50 ------------------------------------------------------------------------------------


def conv(x: jax.Array, kernel: jax.Array, bias: jax.Array, strides: int = 1) -> jax.Array:
    """A convolution of images, padded to their size."""
    numbers = ("NHWC", "HWIO", "NHWC")
    kernel, bias = kernel.astype(x.dtype), bias.astype(x.dtype)
    return bias + jax.lax.conv_general_dilated(
        x, kernel, (strides, strides), "SAME", dimension_numbers=numbers
    )


def batch_norm(x: jax.Array, p: Sequence[jax.Array]) -> tuple[jax.Array, Weights]:
    """Normalizes each channel of a batch; returns the moving statistics as well."""
    scale, shift, mean, variance = p
    wide = x.astype(jnp.float32)
    now = wide.mean((0, 1, 2))
    spread = (wide**2).mean((0, 1, 2)) - now**2
    y = (wide - now) * (jax.lax.rsqrt(spread + 1e-3) * scale) + shift
    moved = [0.99 * mean + 0.01 * now, 0.99 * variance + 0.01 * spread]
    return y.astype(x.dtype), [scale, shift, *moved]


def resnet50(
    p: Weights, x: jax.Array, key: jax.Array, dtype: str = "float32"
) -> tuple[jax.Array, Weights]:
    """Logits, and the weights with new moving statistics."""
    after = list(p)
    convs, norms = (iter(places) for places in _places(p))

    def normed(x: jax.Array, strides: int = 1) -> jax.Array:
        at, own = next(convs), next(norms)
        x, after[own : own + 4] = batch_norm(conv(x, p[at], p[at + 1], strides), p[own : own + 4])
        return x

    x = jax.nn.relu(normed(x.astype(dtype), 2))
    window, strides = (1, 3, 3, 1), (1, 2, 2, 1)
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, "SAME").astype(dtype)
    for depth, first in ((3, 1), (4, 2), (6, 2), (3, 2)):
        for i in range(depth):
            step = first if i == 0 else 1
            y = jax.nn.relu(normed(jax.nn.relu(normed(x, step))))
            shortcut = x if i else normed(x, step)
            x = jax.nn.relu(shortcut + normed(y))
    pooled = x.astype(jnp.float32).mean((1, 2)).astype(dtype)
    return pooled @ p[-2].astype(dtype) + p[-1].astype(dtype), after


def _places(p: Weights) -> tuple[list[int], list[int]]:
    """Returns where the weights of convolutions begin, and those of their norms."""
    convs, norms, at = [], [], 0
    while at < len(p) - 2:
        is_conv = p[at].ndim == 4
        (convs if is_conv else norms).append(at)
        at += 2 if is_conv else 4
    return convs, norms


# --- a step --------------------------------------------------------------------------------------


def next_word(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Cross-entropy of logits with labels as whole numbers."""
    wide = logits.astype(jnp.float32)
    return optax.softmax_cross_entropy_with_integer_labels(wide, labels).mean()


def train_step(
    apply: Apply,
    loss: Callable[[Any, Any], jax.Array],
    optimizer: optax.GradientTransformation,
    trained: Sequence[bool],
) -> Callable[[Any, Any, Any], Any]:
    """Returns a step: from state, inputs and targets to the next state.

    A state is the weights, what the optimizer keeps of those that are trained, the key, the number
    of the step and the sum of the losses.
    """

    def joined(own: Weights, fixed: Weights) -> Weights:
        either = {True: iter(own), False: iter(fixed)}
        return [next(either[bool(flag)]) for flag in trained]

    def part(weights: Weights, flag: bool) -> Weights:
        return [w for w, own in zip(weights, trained) if bool(own) is flag]

    def step(state: Any, x: Any, y: Any) -> Any:
        weights, moments, key, count, total = state
        own, fixed = part(weights, True), part(weights, False)

        def cost(own: Weights) -> tuple[jax.Array, Weights]:
            outputs, after = apply(joined(own, fixed), x, jax.random.fold_in(key, count))
            return loss(outputs, y), part(after, False)

        (value, fixed), grads = jax.value_and_grad(cost, has_aux=True)(own)
        updates, moments = optimizer.update(grads, moments, own)
        own = jax.tree.map(jnp.add, own, updates)
        return joined(own, fixed), moments, key, count + 1, total + value

    return step


def state_specs(
    weights: Sequence[Any], optimizer: optax.GradientTransformation, trained: Sequence[bool]
) -> Any:
    """Returns the shapes of a state, by those of the weights."""

    def state(weights: Weights) -> Any:
        own = [w for w, flag in zip(weights, trained) if flag]
        zeros = jnp.zeros((2,), "uint32"), jnp.zeros((), "int32"), jnp.zeros(())
        return weights, optimizer.init(own), *zeros

    return jax.eval_shape(state, list(weights))
