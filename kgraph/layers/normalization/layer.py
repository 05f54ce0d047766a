"""LayerNormalization."""

from __future__ import annotations

from typing import Unpack

from kgraph.layers.base.options import LayerOptions
from kgraph.layers.normalization.statistics import Axes, _ScaledNormalization, normalise
from kgraph.types import Array, ConstraintLike, InitializerLike, RegularizerLike, Shape


class LayerNormalization(_ScaledNormalization):
    """Gives each sample mean 0 and variance 1 over its features, then rescales each feature.

    Shapes: `[batch, ..., features]` in, the same out. Weights: `gamma` and `beta`, of the sizes of
    the axes normalised over.
    Dtype: statistics are float32 at least; the result has the compute dtype.

    Args:
        axis: the axis or axes normalised over.
        epsilon: added to the variance.
        center: whether the offset `beta` is added.
        scale: whether the result is multiplied by `gamma`.
        beta_initializer, gamma_initializer: how the weights start.
        beta_regularizer, gamma_regularizer: penalties on the weights.
        beta_constraint, gamma_constraint: applied to the weights after each update.

    Raises:
        ConfigError: an option has a value it cannot have.
        GraphError: the size of an axis is unknown, or there is no such axis.

    Source: Ba, Kiros and Hinton, arXiv:1607.06450, section 3, with the variance in two passes.

    >>> import numpy as np
    >>> layer = LayerNormalization(epsilon=0.0)
    >>> layer(np.array([[1.0, 3.0]], "float32")).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(
        self,
        axis: Axes = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        beta_regularizer: RegularizerLike | None = None,
        gamma_regularizer: RegularizerLike | None = None,
        beta_constraint: ConstraintLike | None = None,
        gamma_constraint: ConstraintLike | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
            gamma_regularizer, beta_constraint, gamma_constraint, **options,
        )  # fmt: skip

    def build(self, input_shape: Shape) -> None:
        self.declare_scale_and_offset(self.fix_sizes(input_shape))

    def call(self, inputs: Array) -> Array:
        wide = self.widen(inputs)
        places = self.places(wide.ndim)
        normalised = normalise(wide, places, self.epsilon)
        return self.narrow(self.rescale(normalised, places))
