"""From one value for each sample to one number: weights, masks and the mean, in two pure steps.

`terms` gives a sum and what to divide it by; `finish` divides. Terms of several pieces of one
batch add up, so a batch cut into micro-batches, or padded to a full one, has the loss of the whole.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from kgraph.errors import ConfigError, check_choice
from kgraph.losses.alignment import divide_or_zero, fit_weights
from kgraph.types import Array, ArrayLike, DTypeLike

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


class Terms(NamedTuple):
    """The numerator and the denominator of a reduced loss; both scalars, both may be summed."""

    total: Array
    count: Any  # an Array; a tuple has a method of this name


def check_reduction(owner: str, reduction: str | None) -> str | None:
    """Returns `reduction`, or raises ConfigError if there is no such reduction."""
    check_choice(owner, "reduction", reduction, REDUCTIONS)
    return reduction


def combine_weights(
    sample_weight: ArrayLike | None, mask: ArrayLike | None, dtype: DTypeLike
) -> Array | None:
    """Returns the product of weights and a mask, either of which may be None."""
    weight = None if sample_weight is None else jnp.asarray(sample_weight).astype(dtype)
    if mask is None:
        return weight
    kept = jnp.asarray(mask).astype(bool).astype(dtype)
    if weight is None:
        return kept
    if weight.ndim > kept.ndim:
        weight, kept = fit_weights(weight, kept, "mask")
    else:
        kept, weight = fit_weights(kept, weight)
    return weight * kept


def combine_masks(a: Any, b: Any) -> Array | None:
    """Returns where both masks hold; None is a mask that holds everywhere."""
    if a is None or b is None:
        return b if a is None else a
    combined = combine_weights(jnp.asarray(a).astype(bool), b, jnp.float32)
    return None if combined is None else combined.astype(bool)


def weigh(
    values: Array, sample_weight: ArrayLike | None = None, mask: ArrayLike | None = None
) -> tuple[Array, Array | None]:
    """Returns the weighted values, and the weights that were used (None for no weights)."""
    weight = combine_weights(sample_weight, mask, values.dtype)
    if weight is None:
        return values, None
    values, weight = fit_weights(values, weight)
    # A masked value may be infinite or NaN (padding): it must not survive as 0 * inf.
    return jnp.where(weight == 0, jnp.zeros_like(values), values) * weight, weight


def terms(
    values: Array,
    sample_weight: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    rows: ArrayLike | None = None,
    reduction: str | None = "sum_over_batch_size",
) -> Terms:
    """Returns the sum of the weighted values and the number that it is to be divided by.

    With `"sum_over_batch_size"` (and `"mean"`) weights do not change the divisor, but a mask does:
    masked values neither add to the sum nor count. With `"mean_with_sample_weight"` the divisor is
    the sum of the weights.

    Args:
        values: one loss value for each sample (and step).
        sample_weight: multiplies the values.
        mask: where values count.
        rows: `[batch]`, False for rows that only pad the batch and are to leave no trace.
        reduction: one of Keras' reductions that give one number.

    Raises:
        ConfigError: for reduction None, which has no terms.
    """
    if reduction in (None, "none"):
        raise ConfigError(
            "A loss without reduction cannot be trained on or summed",
            hint="reduction='sum_over_batch_size', or reduce the values yourself",
        )
    weighted, weight = weigh(values, sample_weight, combine_masks(mask, rows))
    total = jnp.sum(weighted)
    if reduction == "sum":
        return Terms(total, jnp.ones_like(total))
    weighs = sample_weight is not None or mask is not None
    if reduction == "mean_with_sample_weight" and weighs and weight is not None:
        return Terms(total, jnp.sum(weight))
    return Terms(total, _number_of_values(weighted, mask, rows))


def finish(parts: Terms, reduction: str | None = "sum_over_batch_size") -> Array:
    """Returns the loss from its (summed) terms; 0 where nothing counted."""
    return parts.total if reduction == "sum" else divide_or_zero(parts.total, parts.count)


def reduce(
    values: Array,
    sample_weight: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    reduction: str | None = "sum_over_batch_size",
) -> Array:
    """Returns the reduced loss: one number, or the weighted values for reduction None."""
    if reduction in (None, "none"):
        return weigh(values, sample_weight, mask)[0]
    return finish(terms(values, sample_weight, mask, None, reduction), reduction)


def _number_of_values(values: Array, mask: ArrayLike | None, rows: ArrayLike | None) -> Array:
    """Counts the values that neither the mask nor the padding takes out."""
    kept = combine_masks(mask, rows)
    if kept is None or kept.size == 0:
        return jnp.asarray(values.size, values.dtype)
    return jnp.sum(kept.astype(values.dtype)) * (values.size / kept.size)
