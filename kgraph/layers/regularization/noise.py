"""Noise with the normal distribution, and dropout for self-normalising networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Unpack

import jax
import jax.numpy as jnp

from kgraph.checks import check_not_negative, check_rate
from kgraph.errors import ConfigError
from kgraph.graph.traits import Traits
from kgraph.layers.base import Layer
from kgraph.layers.base.core import next_key
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.regularization.dropout import Dropout
from kgraph.types import Array


class GaussianNoise(Layer, traits=Traits(idle_at_inference=True)):
    """Adds noise with mean 0 in training.

    Shapes: any; the same out.

    Args:
        stddev: standard deviation of the noise.
        seed: see `Dropout`.

    Raises:
        ConfigError: `stddev` is negative.

    >>> import numpy as np
    >>> GaussianNoise(0.1)(np.ones((1, 2), "float32")).tolist()  # not in training
    [[1.0, 1.0]]
    """

    _kgraph_never_builds = True
    supports_masking = True

    def __init__(
        self, stddev: float, seed: int | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        check_not_negative("GaussianNoise", "stddev", stddev)
        self.stddev, self.seed = stddev, seed

    def call(self, inputs: Array, training: bool | None = None) -> Array:
        if not training or self.stddev == 0:
            return inputs
        return inputs + (self.stddev * _normal(next_key(self), inputs)).astype(inputs.dtype)


class GaussianDropout(Layer, traits=Traits(idle_at_inference=True)):
    """Multiplies by noise with mean 1 in training; its variance is that of `Dropout`.

    Shapes: any; the same out.

    Args:
        rate: the standard deviation is `sqrt(rate / (1 - rate))`.
        seed: see `Dropout`.

    Raises:
        ConfigError: `rate` is not between 0 and 1, or is 1.

    >>> import numpy as np
    >>> GaussianDropout(0.1)(np.ones((1, 2), "float32")).tolist()  # not in training
    [[1.0, 1.0]]
    """

    _kgraph_never_builds = True
    supports_masking = True

    def __init__(
        self, rate: float, seed: int | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        check_rate("GaussianDropout", "rate", rate)
        if rate == 1:
            raise ConfigError(
                "GaussianDropout cannot drop everything", expected="a rate below 1", received=rate
            )
        self.rate, self.seed = rate, seed

    def call(self, inputs: Array, training: bool | None = None) -> Array:
        if not training or self.rate == 0:
            return inputs
        stddev = math.sqrt(self.rate / (1 - self.rate))
        return inputs * (1 + stddev * _normal(next_key(self), inputs)).astype(inputs.dtype)


class AlphaDropout(Dropout):
    """Sets values to the low end of SELU at random in training, and keeps mean and variance.

    Shapes: any; the same out.

    Args:
        rate: share of values that are dropped.
        noise_shape: see `Dropout`.
        seed: see `Dropout`.

    Source: Klambauer, Unterthiner, Mayr and Hochreiter, arXiv:1706.02515, section 3.

    >>> import numpy as np
    >>> AlphaDropout(0.1)(np.ones((1, 2), "float32")).tolist()  # not in training
    [[1.0, 1.0]]
    """

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(rate, noise_shape, seed, **options)

    def call(self, inputs: Array, training: bool | None = None) -> Array:
        if not training or self.rate == 0:
            return inputs
        if self.rate == 1:
            return jnp.zeros_like(inputs)
        low = -_SELU_SCALE * _SELU_ALPHA
        kept = jax.random.bernoulli(next_key(self), 1 - self.rate, self.draws_shape(inputs))
        scale = ((1 - self.rate) * (1 + self.rate * low**2)) ** -0.5
        return scale * jnp.where(kept, inputs, low) - scale * low * self.rate


def _normal(key: Array, like: Array) -> Array:
    """Returns normal values in this shape, at least in float32: 16 bits hold few far from 0."""
    dtype = like.dtype if like.dtype == jnp.float64 else jnp.float32
    return jax.random.normal(key, like.shape, dtype)


# The fixed point of SELU for mean 0 and variance 1 (equation 14 of the paper).
_SELU_ALPHA = 1.6732632423543772
_SELU_SCALE = 1.0507009873554805
