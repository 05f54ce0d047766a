"""Cross-entropies of single predictions, and the ratio of signal to noise."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from kgraph import config
from kgraph.errors import ConfigError
from kgraph.types import Array

__all__ = [
    "binary_crossentropy", "categorical_crossentropy", "psnr", "sparse_categorical_crossentropy",
]  # fmt: skip


def log_probabilities(output: Array, from_logits: bool, axis: int) -> Array:
    """Returns the logarithm of the probabilities of the classes along `axis`.

    Logits take the stable way. Probabilities are first divided by their sum, then clipped to
    [eps, 1 - eps], as in Keras: the loss stays finite, and flat beyond.
    """
    if from_logits:
        return jax.nn.log_softmax(output, axis=axis)
    output = output / jnp.sum(output, axis=axis, keepdims=True)
    return jnp.log(jnp.clip(output, config.epsilon(), 1.0 - config.epsilon()))


def binary_elementwise(target: Array, output: Array, from_logits: bool) -> Array:
    """Returns the binary cross-entropy of each element.

    Logits take the stable way; probabilities are clipped to [eps, 1 - eps], as in Keras.
    """
    if from_logits:
        return -target * jax.nn.log_sigmoid(output) - (1.0 - target) * jax.nn.log_sigmoid(-output)
    p = jnp.clip(output, config.epsilon(), 1.0 - config.epsilon())
    return -(target * jnp.log(p) + (1.0 - target) * jnp.log(1.0 - p))


def binary_crossentropy(target: Array, output: Array, from_logits: bool = False) -> Array:
    """Returns `-y log(p) - (1 - y) log(1 - p)` of each element."""
    target, output = _same_shape("binary_crossentropy", target, output)
    return binary_elementwise(target, output, from_logits)


def categorical_crossentropy(
    target: Array, output: Array, from_logits: bool = False, axis: int = -1
) -> Array:
    """Returns minus the sum over the classes of `target * log(output)`."""
    target, output = _same_shape("categorical_crossentropy", target, output)
    return -jnp.sum(target * log_probabilities(output, from_logits, axis), axis=axis)


def sparse_categorical_crossentropy(
    target: Array, output: Array, from_logits: bool = False, axis: int = -1
) -> Array:
    """Returns minus the logarithm of the probability of the class that `target` names.

    Shapes: `target` is `output` without the axis of the classes, or with size 1 there.
    """
    target, output = jnp.asarray(target), jnp.asarray(output)
    if target.ndim == output.ndim and target.shape[axis] == 1:
        target = jnp.squeeze(target, axis)
    expected = list(output.shape)
    del expected[axis]
    if list(target.shape) != expected:
        raise ConfigError(
            "ops.sparse_categorical_crossentropy needs one class number for each distribution",
            expected=f"target {tuple(expected)}", received=f"target {target.shape}",
        )  # fmt: skip
    log_prob = log_probabilities(output, from_logits, axis)
    hot = jax.nn.one_hot(
        target.astype(jnp.int32), output.shape[axis], axis=axis, dtype=output.dtype
    )
    return -jnp.sum(hot * log_prob, axis=axis)


def psnr(x1: Array, x2: Array, max_val: float) -> Array:
    """Returns the peak signal-to-noise ratio of two images in decibels, as one number."""
    x1, x2 = _same_shape("psnr", x1, x2)
    error = jnp.mean(jnp.square(x1 - x2))
    return 20 * jnp.log10(jnp.asarray(max_val, x2.dtype)) - 10 * jnp.log10(error)


def _same_shape(name: str, first: Array, second: Array) -> tuple[Array, Array]:
    first, second = jnp.asarray(first), jnp.asarray(second)
    if first.shape != second.shape:
        raise ConfigError(
            f"ops.{name} needs two arrays of one shape",
            received=f"{tuple(first.shape)} and {tuple(second.shape)}",
        )
    return first, second
