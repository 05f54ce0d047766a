"""Metrics of classes, computed from what is left of logits that never exist as a whole."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeAlias

import jax.numpy as jnp

from kgraph import losses
from kgraph.declared import speaker
from kgraph.losses.in_pieces import Classes, Scores
from kgraph.metrics import accuracy
from kgraph.metrics.base import Metric
from kgraph.metrics.reduction import MeanMetricWrapper
from kgraph.types import Array, Tree

Reader: TypeAlias = Callable[[Scores], Array]
"""From the scores of rows to a metric's value for each of them."""

# For targets with one number for each class, and for class numbers.
_ACCURACY = accuracy.categorical_accuracy, accuracy.sparse_categorical_accuracy
_TOP_K = accuracy.top_k_categorical_accuracy, accuracy.sparse_top_k_categorical_accuracy
_ENTROPY = losses.categorical_crossentropy, losses.sparse_categorical_crossentropy


def reader_of(metric: Metric, classes: Classes, of_logits: bool) -> Reader | None:
    """Returns how the values of a metric follow from scores; None if they do not.

    Args:
        metric: of an output whose loss is the cross-entropy of classes.
        classes: how the targets name them.
        of_logits: whether the output holds logits, and not probabilities.
    """
    if not isinstance(metric, MeanMetricWrapper) or speaker(type(metric)) is None:
        return None
    if metric.fn is _ACCURACY[classes.sparse]:
        return _hits
    if is_ranking(metric, classes):
        k = metric.options.get("k", 5)
        return lambda scores: (scores.above < k).astype(jnp.float32)
    given = {"from_logits": False, "axis": -1, "label_smoothing": 0.0, **metric.options}
    alike = given["label_smoothing"] == classes.smoothing and given["axis"] == -1
    if metric.fn is _ENTROPY[classes.sparse] and of_logits and given["from_logits"] and alike:
        return _losses
    return None


def is_ranking(metric: Metric, classes: Classes | None) -> bool:
    """Tells whether a metric asks for `Scores.above`."""
    if (
        classes is None
        or not isinstance(metric, MeanMetricWrapper)
        or metric.options.get("from_sorted_ids")
    ):
        return False
    return metric.fn is _TOP_K[classes.sparse]


def on_values(metric: Metric) -> Any:
    """Returns the metric for updates that are given its value for each row as the output."""
    twin = copy.copy(metric)
    vars(twin).update(fn=_second, options={})
    return twin


def _second(y_true: Tree, values: Array) -> Array:
    return values


def _losses(scores: Scores) -> Array:
    return scores.loss


def _hits(scores: Scores) -> Array:
    return scores.best.astype(jnp.float32)
