"""Margin losses: hinge, squared hinge and the hinge of classes."""

from __future__ import annotations

import jax.numpy as jnp

from kgraph.losses.alignment import paired
from kgraph.losses.function_loss import FunctionLoss
from kgraph.types import Array, ArrayLike


def hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Returns the mean over the last axis of `max(0, 1 - y_true * y_pred)`; labels are -1 and 1.

    Labels that are all 0 or 1 stand for -1 and 1.
    """
    y_true, y_pred = paired("hinge", y_true, y_pred)
    return jnp.mean(jnp.maximum(1.0 - _signs(y_true) * y_pred, 0.0), axis=-1)


def squared_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Returns the mean over the last axis of `max(0, 1 - y_true * y_pred)²`; see `hinge`."""
    y_true, y_pred = paired("squared_hinge", y_true, y_pred)
    return jnp.mean(jnp.square(jnp.maximum(1.0 - _signs(y_true) * y_pred, 0.0)), axis=-1)


def categorical_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Returns how far the best wrong class comes within 1 of the right one; labels are one-hot."""
    hint = "one-hot targets (kgraph.utils.to_categorical)"
    y_true, y_pred = paired("categorical_hinge", y_true, y_pred, hint)
    right = jnp.sum(y_true * y_pred, axis=-1)
    wrong = jnp.max((1.0 - y_true) * y_pred, axis=-1)
    return jnp.maximum(wrong - right + 1.0, 0.0)


def _signs(y_true: Array) -> Array:
    binary = jnp.all((y_true == 0) | (y_true == 1))
    return jnp.where(binary, 2.0 * y_true - 1.0, y_true)


class Hinge(FunctionLoss):
    """The mean of `max(0, 1 - y_true * y_pred)`."""

    function = staticmethod(hinge)


class SquaredHinge(FunctionLoss):
    """The mean of `max(0, 1 - y_true * y_pred)²`."""

    function = staticmethod(squared_hinge)


class CategoricalHinge(FunctionLoss):
    """The margin between the right class and the best wrong one."""

    function = staticmethod(categorical_hinge)
