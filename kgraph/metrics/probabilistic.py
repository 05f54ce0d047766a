"""Cross-entropies and divergences as metrics."""

from __future__ import annotations

import jax.numpy as jnp

from kgraph import losses
from kgraph.metrics.reduction import MeanMetricWrapper
from kgraph.types import Array, ArrayLike, PolicyLike


class KLDivergence(MeanMetricWrapper):
    """The mean Kullback-Leibler divergence of the outputs from the targets."""

    _direction = "down"

    def __init__(self, name: str = "kl_divergence", dtype: PolicyLike | None = None) -> None:
        super().__init__(losses.kl_divergence, name, dtype)


class Poisson(MeanMetricWrapper):
    """The mean of minus the Poisson log-likelihood, up to a constant."""

    _direction = "down"

    def __init__(self, name: str = "poisson", dtype: PolicyLike | None = None) -> None:
        super().__init__(losses.poisson, name, dtype)


class BinaryCrossentropy(MeanMetricWrapper):
    """The mean binary cross-entropy; the arguments are those of the loss."""

    _direction = "down"

    def __init__(
        self,
        name: str = "binary_crossentropy",
        dtype: PolicyLike | None = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        super().__init__(
            losses.binary_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
        )


class CategoricalCrossentropy(MeanMetricWrapper):
    """The mean cross-entropy for one-hot targets; the arguments are those of the loss."""

    _direction = "down"

    def __init__(
        self,
        name: str = "categorical_crossentropy",
        dtype: PolicyLike | None = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ) -> None:
        super().__init__(
            losses.categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class SparseCategoricalCrossentropy(MeanMetricWrapper):
    """The mean cross-entropy for class numbers; the arguments are those of the loss.

    Samples of `ignore_class` do not count, as in the loss. (In Keras they count as zeros where
    there are no sample weights, so that the metric and the loss of the same name differ.)
    """

    _direction = "down"

    def __init__(
        self,
        name: str = "sparse_categorical_crossentropy",
        dtype: PolicyLike | None = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        super().__init__(
            losses.sparse_categorical_crossentropy,
            name,
            dtype,
            from_logits=from_logits,
            ignore_class=ignore_class,
            axis=axis,
        )
        self.ignore_class = ignore_class

    def value_mask(self, y_true: ArrayLike, values: Array) -> Array | None:
        if self.ignore_class is None:
            return None
        return (jnp.asarray(y_true) != self.ignore_class).reshape(values.shape)
