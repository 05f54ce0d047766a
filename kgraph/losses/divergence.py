"""Losses between distributions: the Kullback-Leibler divergence and the Poisson likelihood."""

from __future__ import annotations

import jax.numpy as jnp

from kgraph import config
from kgraph.losses.alignment import paired
from kgraph.losses.function_loss import FunctionLoss
from kgraph.types import Array, ArrayLike


def kl_divergence(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Returns the sum over the last axis of `y_true * log(y_true / y_pred)`.

    Both are clipped to [`config.epsilon()`, 1].
    """
    y_true, y_pred = paired("kl_divergence", y_true, y_pred)
    y_true = jnp.clip(y_true, config.epsilon(), 1.0)
    y_pred = jnp.clip(y_pred, config.epsilon(), 1.0)
    return jnp.sum(y_true * jnp.log(y_true / y_pred), axis=-1)


def poisson(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Returns the mean over the last axis of `y_pred - y_true * log(y_pred)`; outputs are rates."""
    y_true, y_pred = paired("poisson", y_true, y_pred)
    return jnp.mean(y_pred - y_true * jnp.log(y_pred + config.epsilon()), axis=-1)


class KLDivergence(FunctionLoss):
    """The Kullback-Leibler divergence of the outputs from the targets."""

    function = staticmethod(kl_divergence)


class Poisson(FunctionLoss):
    """Minus the Poisson log-likelihood, up to a constant; outputs are rates."""

    function = staticmethod(poisson)
