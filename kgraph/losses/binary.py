"""Binary cross-entropy: every output is its own yes or no."""

from __future__ import annotations

import jax.numpy as jnp

from kgraph.losses.alignment import paired
from kgraph.losses.base import Loss
from kgraph.losses.crossentropy import with_logits
from kgraph.ops.functions.entropies import binary_elementwise
from kgraph.types import Array, ArrayLike, PolicyLike

_HINT = "one target for each output; for one class of several, 'sparse_categorical_crossentropy'"


def binary_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """Returns the mean over `axis` of `-y log(p) - (1 - y) log(1 - p)`.

    Args:
        y_true: targets in [0, 1].
        y_pred: probabilities, or logits.
        from_logits: whether `y_pred` holds logits.
        label_smoothing: how far targets are drawn towards 1/2.
        axis: the axis averaged over.
    """
    y_true, y_pred = paired("binary_crossentropy", y_true, y_pred, _HINT)
    y_true = smooth_binary(y_true, label_smoothing)
    return jnp.mean(binary_elementwise(y_true, y_pred, from_logits), axis=axis)


def smooth_binary(y_true: Array, amount: float) -> Array:
    """Returns targets drawn towards 1/2."""
    return y_true * (1.0 - amount) + 0.5 * amount if amount else y_true


class BinaryCrossentropy(Loss):
    """The binary cross-entropy, averaged over the outputs of a sample.

    Args:
        from_logits: whether outputs are logits; the same numbers, more exact than after a sigmoid.
        label_smoothing: how far targets are drawn towards 1/2.
        axis: the axis averaged over.
        reduction: as in `Loss`.
        name: as in `Loss`.
        dtype: as in `Loss`.
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_crossentropy",
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def call(self, y_true: Array, y_pred: Array) -> Array:
        return binary_crossentropy(
            y_true, y_pred, self.from_logits, self.label_smoothing, self.axis
        )

    def _kgraph_on_logits(self, function: str | None = "sigmoid") -> Loss | None:
        return with_logits(self) if function == "sigmoid" else None
