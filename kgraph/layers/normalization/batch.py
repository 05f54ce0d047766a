"""BatchNormalization."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from kgraph import initializers
from kgraph.checks import check_integer, check_rate
from kgraph.errors import GraphError
from kgraph.graph.traits import Normalization, Traits
from kgraph.layers.base.core import label_of
from kgraph.layers.base.mask_check import check_mask
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.normalization.renorm import check_clipping, correction, root
from kgraph.layers.normalization.statistics import (
    _ScaledNormalization,
    along,
    other_axes,
)
from kgraph.types import Array, ConstraintLike, InitializerLike, RegularizerLike, Shape


def _traits(layer: Any) -> Traits:
    """Rows depend on each other by the statistics of the batch, if the layer is not frozen."""
    by_mask = layer.axis == -1 or layer.axis > 0
    in_training = "by mask" if by_mask else "at inference"
    return Traits(
        rows_independent=in_training if layer.trainable else True,
        normalization=Normalization(layer.axis, layer.epsilon),
    )


class BatchNormalization(_ScaledNormalization, traits=_traits):
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
        renorm: whether training corrects the batch statistics towards moving ones (batch
            renormalisation), so that training and inference agree for small batches too. The layer
            then has three more states: `moving_stddev`, `renorm_mean` and `renorm_stddev`.
        renorm_clipping: limits `rmin`, `rmax` and `dmax` of the correction; none by default.
        renorm_momentum: how much of `renorm_mean` and `renorm_stddev` stays in each step.
        synchronized: whether the statistics are those of the whole batch on all devices. Under
            `jit` over a sharded batch they always are; a function inside `shard_map` sees its own
            shard alone, and training there with this option is refused.

    Raises:
        ConfigError: an option has a value it cannot have.
        GraphError: the size of the axis is unknown, the mask does not fit, or `synchronized` cannot
            be kept.

    Source: Ioffe and Szegedy, arXiv:1502.03167, algorithm 1; with the variance of the batch itself
    (no n / (n - 1)) in the moving average too, as in Keras, and in two passes, but for bfloat16.
    Renormalisation: Ioffe, arXiv:1702.03275, algorithm 1.

    >>> import numpy as np
    >>> layer = BatchNormalization(epsilon=0.0)
    >>> layer(np.array([[1.0], [3.0]], "float32"), training=True).ravel().tolist()
    [-1.0, 1.0]
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: InitializerLike = "zeros",
        gamma_initializer: InitializerLike = "ones",
        moving_mean_initializer: InitializerLike = "zeros",
        moving_variance_initializer: InitializerLike = "ones",
        beta_regularizer: RegularizerLike | None = None,
        gamma_regularizer: RegularizerLike | None = None,
        beta_constraint: ConstraintLike | None = None,
        gamma_constraint: ConstraintLike | None = None,
        renorm: bool = False,
        renorm_clipping: dict[str, float] | None = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer,
            gamma_regularizer, beta_constraint, gamma_constraint, **options,
        )  # fmt: skip
        check_integer(label_of(self), "axis", axis)
        check_rate(label_of(self), "momentum", momentum)
        self.momentum = momentum
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        check_rate(label_of(self), "renorm_momentum", renorm_momentum)
        self.renorm, self.renorm_momentum = renorm, renorm_momentum
        self.renorm_clipping = check_clipping(label_of(self), renorm_clipping)
        self.synchronized = synchronized

    def build(self, input_shape: Shape) -> None:
        sizes = self.fix_sizes(input_shape)
        self.declare_scale_and_offset(sizes)
        self.moving_mean = self.add_weight(
            sizes, self.moving_mean_initializer, trainable=False, name="moving_mean"
        )
        self.moving_variance = self.add_weight(
            sizes, self.moving_variance_initializer, trainable=False, name="moving_variance"
        )
        if self.renorm:
            variance: Any = self.moving_variance_initializer
            start = partial(root, variance)
            self.moving_stddev = self.add_weight(
                sizes, start, trainable=False, name="moving_stddev"
            )
            self.renorm_mean = self.add_weight(
                sizes, self.moving_mean_initializer, trainable=False, name="renorm_mean"
            )
            self.renorm_stddev = self.add_weight(
                sizes, start, trainable=False, name="renorm_stddev"
            )

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        mask: Any = kwargs.get("mask")
        inputs: Any = args[0] if args else kwargs.get("inputs")
        if hasattr(inputs, "shape"):  # at inference nobody else looks
            check_mask(self, mask, inputs.shape[:-1])

    def call(self, inputs: Array, training: bool | None = None, mask: Array | None = None) -> Array:
        wide = self.widen(inputs)
        places = self.places(wide.ndim)
        gamma = None if self.gamma is None else self.gamma.astype(wide.dtype)
        beta = None if self.beta is None else self.beta.astype(wide.dtype)
        if training and self.trainable:
            self._check_whole_batch()
            others, kept = other_axes(places, wide.ndim), self._kept(wide, mask)
            mean = _mean(wide, others, kept)
            centred = wide - along(mean, places, wide.ndim)
            if inputs.dtype == jnp.bfloat16:
                # The rounding of such inputs adds more to the variance than the difference of two
                # sums loses, and a convolution makes both sums while it computes its result.
                variance = _mean(jnp.square(wide), others, kept) - jnp.square(mean)
                variance = jnp.maximum(variance, 0)
            else:
                variance = _mean(jnp.square(centred), others, kept)
            if self.renorm:
                gamma, beta = self._renormalised(mean, variance, gamma, beta, kept)
            else:
                self._move("moving_mean", mean, kept)
                self._move("moving_variance", variance, kept)
        else:
            variance = self.moving_variance.astype(wide.dtype)
            centred = wide - along(self.moving_mean.astype(wide.dtype), places, wide.ndim)
        factor = jax.lax.rsqrt(variance + self.epsilon)
        if gamma is not None:  # one product for each feature, not for each value
            factor = factor * gamma
        outputs = centred * along(factor, places, wide.ndim)
        if beta is not None:
            outputs = outputs + along(beta, places, wide.ndim)
        return self.narrow(outputs)

    def _move(
        self, state: str, batch: Array, kept: Array | None, momentum: float | None = None
    ) -> Array:
        """Moves a state a step towards a batch's statistic, and returns it.

        A batch that is masked as a whole has no statistics, and moves nothing.
        """
        momentum = self.momentum if momentum is None else momentum
        before = getattr(self, state).astype(batch.dtype)
        moved = before * momentum + batch * (1.0 - momentum)
        if kept is not None:
            moved = jnp.where(jnp.any(kept), moved, before)
        setattr(self, state, moved)
        return moved

    def _renormalised(
        self,
        mean: Array,
        variance: Array,
        gamma: Array | None,
        beta: Array | None,
        kept: Array | None,
    ) -> tuple[Array, Array]:
        """Returns scale and offset with the correction in them, and moves the statistics."""
        deviation = jnp.sqrt(variance + self.epsilon)
        known_mean = self.renorm_mean.astype(mean.dtype)
        known = jnp.maximum(self.renorm_stddev.astype(mean.dtype), math.sqrt(self.epsilon))
        r, d = correction(mean, deviation, known_mean, known, self.renorm_clipping)
        self._move("renorm_mean", mean, kept, self.renorm_momentum)
        self._move("renorm_stddev", deviation, kept, self.renorm_momentum)
        self._move("moving_mean", mean, kept)
        moving = self._move("moving_stddev", deviation, kept)
        self.moving_variance = jnp.maximum(jnp.square(moving) - self.epsilon, 0)
        scale = r if gamma is None else r * gamma
        offset = d if gamma is None else d * gamma
        return scale, offset if beta is None else offset + beta

    def _check_whole_batch(self) -> None:
        """Raises GraphError where statistics of the whole batch are asked for and out of reach."""
        sharded = jax.sharding.get_abstract_mesh().manual_axes if self.synchronized else ()
        if sharded:
            raise GraphError(
                f"{label_of(self)} cannot take the statistics of the whole batch inside shard_map",
                received=f"synchronized=True, in a function over one shard of {list(sharded)}",
                hint="jit with a sharded batch: its statistics are those of the whole batch",
            )

    def _kept(self, inputs: Array, mask: Array | None) -> Array | None:
        """Returns the mask with the rank of the inputs; one for a batch of which nothing counts."""
        if mask is None:
            return jnp.zeros([1] * inputs.ndim, bool) if 0 in inputs.shape else None
        check_mask(self, mask, inputs.shape[:-1])
        return jnp.expand_dims(mask.astype(bool), -1)


def _mean(values: Array, axes: tuple[int, ...], kept: Array | None) -> Array:
    """Returns the mean over `axes` of the values where `kept` is true (0 where nothing is)."""
    if kept is None:
        return jnp.mean(values, axes)
    kept = jnp.broadcast_to(kept, values.shape)
    count = jnp.sum(kept, axes, dtype=values.dtype)
    return jnp.sum(values, axes, where=kept) / jnp.maximum(count, 1)
