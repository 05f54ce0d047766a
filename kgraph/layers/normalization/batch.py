"""BatchNormalization."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from kgraph import initializers
from kgraph.errors import ConfigError, GraphError
from kgraph.layers.base.options import check_integer, check_rate
from kgraph.layers.normalization.statistics import (
    Option,
    _ScaledNormalization,
    along,
    other_axes,
)
from kgraph.types import Array, Shape


class BatchNormalization(_ScaledNormalization):
    """Gives each feature mean 0 and variance 1 over the batch, then rescales it.

    In training the statistics are those of the batch, and their moving averages are updated:
    `moving = moving * momentum + batch * (1 - momentum)`. Otherwise, and always while the layer is
    frozen (`trainable = False`), the moving averages are used and stay as they are.

    Shapes: `[batch, ..., features, ...]` in, the same out. Weights: `gamma` and `beta`; state:
    `moving_mean` and `moving_variance`; each `[features]`.
    Dtype: statistics are float32 at least; the result has the compute dtype.
    Mask: of the shape of the input without its last axis. What it leaves out does not count in the
    statistics (it is normalised too). It goes on to the next layer.

    Args:
        axis: the axis of the features; 1 for images with channels first.
        momentum: how much of the moving averages stays in each step.
        epsilon: added to the variance.
        center: whether the offset `beta` is added.
        scale: whether the result is multiplied by `gamma`.
        beta_initializer, gamma_initializer: how the weights start.
        moving_mean_initializer, moving_variance_initializer: how the state starts.
        beta_regularizer, gamma_regularizer: penalties on the weights.
        beta_constraint, gamma_constraint: applied to the weights after each update.
        renorm, renorm_clipping, renorm_momentum: batch renormalisation is not offered; only the
            defaults are accepted.
        synchronized: not offered; under `jit` over a sharded batch the statistics are those of the
            whole batch in any case.

    Raises:
        ConfigError: an option has a value it cannot have.
        GraphError: the size of the axis is unknown, or the mask does not fit.

    Source: Ioffe and Szegedy, arXiv:1502.03167, algorithm 1; with the variance of the batch itself
    (no n / (n - 1)) in the moving average too, as in Keras, and in two passes.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Option = "zeros",
        gamma_initializer: Option = "ones",
        moving_mean_initializer: Option = "zeros",
        moving_variance_initializer: Option = "ones",
        beta_regularizer: Option = None,
        gamma_regularizer: Option = None,
        beta_constraint: Option = None,
        gamma_constraint: Option = None,
        renorm: bool = False,
        renorm_clipping: dict[str, float] | None = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
            gamma_regularizer, beta_constraint, gamma_constraint, **options,
        )  # fmt: skip
        check_integer(self.label, "axis", axis)
        check_rate(self.label, "momentum", momentum)
        self.momentum = momentum
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self._refuse_missing_features(renorm, synchronized)

    def build(self, input_shape: Shape) -> None:
        sizes = self.fix_sizes(input_shape)
        self.declare_scale_and_offset(sizes)
        self.moving_mean = self.add_weight(
            sizes, self.moving_mean_initializer, trainable=False, name="moving_mean"
        )
        self.moving_variance = self.add_weight(
            sizes, self.moving_variance_initializer, trainable=False, name="moving_variance"
        )

    def call(self, inputs: Array, training: bool | None = None, mask: Array | None = None) -> Array:
        wide = self.widen(inputs)
        places = self.places(wide.ndim)
        moving_mean = self.moving_mean.astype(wide.dtype)
        moving_variance = self.moving_variance.astype(wide.dtype)
        if training and self.trainable:
            others, kept = other_axes(places, wide.ndim), self._kept(wide, mask)
            mean = _mean(wide, others, kept)
            centred = wide - along(mean, places, wide.ndim)
            variance = _mean(jnp.square(centred), others, kept)
            self.moving_mean = self._moved(moving_mean, mean)
            self.moving_variance = self._moved(moving_variance, variance)
        else:
            centred, variance = wide - along(moving_mean, places, wide.ndim), moving_variance
        factor = jax.lax.rsqrt(variance + self.epsilon)
        if self.gamma is not None:  # one product for each feature, not for each value
            factor = factor * self.gamma.astype(wide.dtype)
        outputs = centred * along(factor, places, wide.ndim)
        if self.beta is not None:
            outputs = outputs + along(self.beta.astype(wide.dtype), places, wide.ndim)
        return self.narrow(outputs)

    def _moved(self, moving: Array, batch: Array) -> Array:
        return moving * self.momentum + batch * (1.0 - self.momentum)

    def _kept(self, inputs: Array, mask: Array | None) -> Array | None:
        """Returns the mask with the rank of the inputs."""
        if mask is None:
            return None
        if mask.ndim != inputs.ndim - 1:
            raise GraphError(
                f"{self.label} cannot use this mask",
                expected=f"{inputs.ndim - 1} axes: those of its input but the last",
                received=f"{mask.ndim} axes",
            )
        return jnp.expand_dims(mask.astype(bool), -1)

    def _refuse_missing_features(self, renorm: bool, synchronized: bool) -> None:
        if renorm:
            raise ConfigError(
                f"{self.label} does not offer batch renormalisation",
                received="renorm=True",
                hint="GroupNormalization or LayerNormalization for small batches",
            )
        if synchronized:
            raise ConfigError(
                f"{self.label} has no option synchronized=True",
                hint="leave it out: under jit over a sharded batch, statistics are those of the "
                "whole batch",
            )


def _mean(values: Array, axes: tuple[int, ...], kept: Array | None) -> Array:
    """Returns the mean over `axes` of the values where `kept` is true (0 where nothing is)."""
    if kept is None:
        return jnp.mean(values, axes)
    kept = jnp.broadcast_to(kept, values.shape)
    count = jnp.sum(kept, axes, dtype=values.dtype)
    return jnp.sum(values, axes, where=kept) / jnp.maximum(count, 1)
