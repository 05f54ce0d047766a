"""GroupNormalization."""

from __future__ import annotations

from typing import Unpack

import jax
import jax.numpy as jnp

from kgraph.checks import check_integer
from kgraph.errors import ConfigError, GraphError
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.normalization.statistics import (
    _ScaledNormalization,
    along,
    other_axes,
)
from kgraph.types import Array, ConstraintLike, InitializerLike, RegularizerLike, Shape


class GroupNormalization(_ScaledNormalization):
    """Gives each group of features mean 0 and variance 1 in each sample, then rescales them.

    Shapes: `[batch, ..., features, ...]` in, the same out. Weights: `gamma` and `beta`, each
    `[features]`.
    Dtype: statistics are float32 at least; the result has the compute dtype.

    Args:
        groups: number of groups; the features divide into them. -1 makes each feature a group of
            its own (instance normalisation).
        axis: the axis of the features; statistics are over it and all axes but the batch.
        epsilon, center, scale, and the options of `beta` and `gamma`: as in `LayerNormalization`.

    Raises:
        ConfigError: an option has a value it cannot have.
        GraphError: the features do not divide into groups, or their number is unknown.

    Source: Wu and He, arXiv:1803.08494, equations 1 to 3 and 7, with the variance in two passes.

    >>> from kgraph.layers import Input
    >>> GroupNormalization(2)(Input((8, 8, 4))).shape
    (None, 8, 8, 4)
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
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
        check_integer(label_of(self), "axis", axis)
        if not isinstance(groups, int) or (groups < 1 and groups != -1):
            raise ConfigError(
                f"{label_of(self)} cannot use this number of groups",
                expected="a positive whole number, or -1 for a group for each feature",
                received=repr(groups),
            )
        self.groups = groups

    def build(self, input_shape: Shape) -> None:
        (features,) = self.fix_sizes(input_shape)
        if features % self.groups:
            raise GraphError(
                f"{label_of(self)} cannot split its input into groups of equal size",
                expected=f"features divisible by groups={self.groups}",
                received=f"{features} features on axis {self.axis}",
                hint="another number of groups, or groups=-1 for one for each feature",
            )
        self.declare_scale_and_offset((features,))

    def call(self, inputs: Array) -> Array:
        (place,) = self.places(inputs.ndim)
        features, rank = inputs.shape[place], inputs.ndim
        groups = features if self.groups == -1 else self.groups
        others = other_axes((0, place), rank)
        wide = self.widen(inputs)

        def group_means(values: Array) -> Array:
            """Returns for each row and feature the mean over its group, `[batch, features]`."""
            # Feature by feature first: an axis of few features would be slow to reduce over.
            own = jnp.mean(values, others)
            means = jnp.mean(own.reshape(-1, groups, features // groups), -1)
            return jnp.repeat(means, features // groups, axis=-1)

        centred = wide - along(group_means(wide), (0, place), rank)
        variance = group_means(jnp.square(centred))
        factor = along(jax.lax.rsqrt(variance + self.epsilon), (0, place), rank)
        return self.narrow(self.rescale(centred * factor, (place,)))
