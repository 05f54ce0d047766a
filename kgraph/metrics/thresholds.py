"""Counts of right and wrong decisions at many thresholds, in one sweep over the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.errors import ConfigError, DataError
from kgraph.losses.alignment import fit_weights, paired
from kgraph.types import Array, ArrayLike

NEVER = -1e10
"""Below every score: the threshold that all pass, and the score that passes none."""


class Counts(NamedTuple):
    """Weighted numbers of decisions, `[thresholds]` or `[thresholds, labels]` each."""

    true_positives: Array
    false_positives: Array
    true_negatives: Array
    false_negatives: Array


def parse_thresholds(owner: str, thresholds: Any, default: float) -> list[float]:
    """Returns thresholds as a list of floats in [0, 1]; None is the default.

    Raises:
        ConfigError: if a threshold lies outside.
    """
    if thresholds is None:
        return [default]
    listed = list(thresholds) if isinstance(thresholds, (list, tuple, np.ndarray)) else [thresholds]
    if any(t is None or not 0 <= t <= 1 for t in listed):
        raise ConfigError(f"{owner} needs thresholds in [0, 1]", received=str(listed))
    return [float(t) for t in listed]


MOST_THRESHOLDS = 2**20


def even_thresholds(owner: str, number: int | None, least: int) -> list[float]:
    """Returns `number` thresholds from 0 to 1; a single one is 0.5.

    Raises:
        ConfigError: it is not from `least` to `MOST_THRESHOLDS`; the number may come from a file.
    """
    if not isinstance(number, int) or not least <= number <= MOST_THRESHOLDS:
        raise ConfigError(
            f"{owner} cannot have this `num_thresholds`",
            expected=f"a whole number from {least} to {MOST_THRESHOLDS:,}",
            received=repr(number),
        )
    return [0.5] if number == 1 else [i / (number - 1) for i in range(number)]


def decisions(
    owner: str,
    y_true: ArrayLike,
    y_pred: ArrayLike,
    sample_weight: ArrayLike | None = None,
    top_k: int | None = None,
    class_id: int | None = None,
) -> tuple[Array, Array, Array]:
    """Returns positives (bool), scores and weights, all of one shape.

    Args:
        owner: the metric's name, for errors.
        y_true: targets; what is not 0 is positive.
        y_pred: scores.
        sample_weight: weights of rows or elements.
        top_k: only the `top_k` largest scores of a row may be positive decisions.
        class_id: only this index of the last axis is looked at.
    """
    y_true, y_pred = paired(owner, y_true, y_pred)
    if top_k is not None:
        _, best = jax.lax.top_k(y_pred, top_k)
        among = jnp.sum(jax.nn.one_hot(best, y_pred.shape[-1], dtype=y_pred.dtype), -2) > 0
        y_pred = jnp.where(among, y_pred, NEVER)
    weights = jnp.ones_like(y_pred)
    if sample_weight is not None:
        given = jnp.asarray(sample_weight).astype(y_pred.dtype)
        weights = jnp.broadcast_to(fit_weights(y_pred, given)[1], y_pred.shape)
    if class_id is not None:
        if y_pred.ndim < 2 or not 0 <= class_id < y_pred.shape[-1]:
            raise DataError(
                f"{owner} has no class {class_id} to look at", received=f"outputs {y_pred.shape}"
            )
        y_true, y_pred, weights = (x[..., class_id] for x in (y_true, y_pred, weights))
    return y_true != 0, y_pred, weights


def count(
    positive: Array, scores: Array, weights: Array, thresholds: Sequence[float] | np.ndarray
) -> Counts:
    """Counts decisions `score > threshold` over all elements, for each threshold.

    Each element is put into the bucket of how many thresholds it passes; a running sum from the top
    then gives all thresholds at once, with work independent of their number. Memory is that of the
    data, where comparing every element with every threshold takes 200 times as much.
    """
    order = np.argsort(np.asarray(thresholds, np.float64), kind="stable")
    limits = jnp.asarray(np.asarray(thresholds, np.float64)[order].astype(scores.dtype))
    positive, scores, weights = positive.ravel(), scores.ravel(), weights.ravel()
    scores = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
    passed = jnp.searchsorted(limits, scores, side="left")
    parts = jnp.stack([jnp.where(positive, weights, 0.0), jnp.where(positive, 0.0, weights)], -1)
    buckets = jax.ops.segment_sum(parts, passed, num_segments=limits.size + 1)
    sums = jnp.cumsum(buckets[::-1], axis=0)[::-1]
    above = sums[1:][np.argsort(order)]
    below = sums[0][None, :] - above
    return Counts(above[:, 0], above[:, 1], below[:, 1], below[:, 0])
