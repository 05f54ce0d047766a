"""The generalized cross-entropy, which forgives wrong labels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.errors import ConfigError
from kgraph.losses.alignment import wide
from kgraph.losses.base import Loss
from kgraph.losses.crossentropy import class_numbers
from kgraph.losses.labels import check_class_labels
from kgraph.types import Array, ArrayLike, PolicyLike, Shape

_NAME = "categorical_generalized_cross_entropy"


def categorical_generalized_cross_entropy(y_true: ArrayLike, y_pred: ArrayLike, q: float) -> Array:
    """Returns `(1 - p**q) / q` for the probability `p` of the class that `y_true` names.

    Near `q` = 0 it is the cross-entropy, at `q` = 1 it is linear in the probability.

    Args:
        y_true: class numbers, with the shape of `y_pred` without its last axis (or with size 1).
        y_pred: probabilities.
        q: above 0 and below 1; more forgives more.

    Raises:
        DataError: if the shapes do not fit.

    Source: Zhang and Sabuncu, "Generalized cross entropy loss for training deep neural networks
    with noisy labels", arXiv:1805.07836, equation 6.
    """
    y_pred = wide(y_pred)
    labels = class_numbers(jnp.asarray(y_true), y_pred, -1, _NAME)
    hot = jax.nn.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype)
    p = jnp.sum(y_pred * hot, axis=-1)
    # The slope at 0 is infinite, which the chain rule would make NaN.
    return (1.0 - jnp.power(jnp.maximum(p, jnp.finfo(p.dtype).tiny), q)) / q


class CategoricalGeneralizedCrossEntropy(Loss):
    """The generalized cross-entropy of classes, for targets that are class numbers.

    Args:
        q: above 0 and below 1; more forgives more wrong labels.
        reduction: as in `Loss`.
        name: as in `Loss`.
        dtype: as in `Loss`.

    Raises:
        ConfigError: if `q` is not between 0 and 1.
    """

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str = _NAME,
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if not 0 < q < 1:
            raise ConfigError(
                f"{type(self).__name__} cannot use this `q`",
                expected="a number above 0 and below 1",
                received=repr(q),
                hint="for q = 0 it would be SparseCategoricalCrossentropy",
            )
        self.q = q

    def call(self, y_true: Array, y_pred: Array) -> Array:
        return categorical_generalized_cross_entropy(y_true, y_pred, self.q)

    def _kgraph_check_labels(self, y_true: np.ndarray, output_shape: Shape) -> None:
        check_class_labels(self.name, y_true, output_shape, -1, None)
