"""Layers of single published networks: scales and depths of residual branches."""

from __future__ import annotations

from typing import Any, Unpack

import jax.numpy as jnp

from kgraph.checks import check_count
from kgraph.errors import ConfigError
from kgraph.initializers import Constant
from kgraph.layers.base import Layer
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.merging.elementwise import _Elementwise
from kgraph.layers.regularization.dropout import Dropout
from kgraph.types import Array, Shape

__all__ = ["BranchDropout", "BranchScale", "ScaledAdd"]


class BranchScale(Layer):
    """Multiplies each feature by a weight that starts near zero, at the end of a residual branch.

    Shapes: `[batch, ..., features]` in, the same out. Weight: `gamma`, `[features]`.

    Args:
        init_values: what the weights start from.
        projection_dim: number of features.

    Source: Touvron et al., "Going deeper with Image Transformers", arXiv:2103.17239, equation 5.

    >>> import numpy as np
    >>> BranchScale(0.5, 2)(np.array([[1.0, 3.0]], "float32")).tolist()
    [[0.5, 1.5]]
    """

    supports_masking = True

    def __init__(
        self, init_values: float, projection_dim: int, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        check_count(label_of(self), "projection_dim", projection_dim)
        self.init_values, self.projection_dim = init_values, projection_dim

    def build(self, input_shape: Shape) -> None:
        if input_shape[-1] != self.projection_dim:
            raise ConfigError(
                f"{label_of(self)} scales another number of features",
                expected=f"[..., {self.projection_dim}]",
                received=f"{tuple(input_shape)}",
            )
        start = Constant(self.init_values)
        self.gamma = self.add_weight((self.projection_dim,), start, name="gamma")

    def call(self, inputs: Array) -> Array:
        return inputs * jnp.expand_dims(self.gamma, tuple(range(inputs.ndim - 1)))


class BranchDropout(Dropout):
    """Drops all of a residual branch at random in training, for each row of the batch apart.

    Shapes: `[batch, ...]` in, the same out.

    Args:
        drop_path_rate: share of the rows whose branch is dropped.

    Raises:
        ConfigError: the rate is not between 0 and 1.

    Source: Huang et al., "Deep Networks with Stochastic Depth", arXiv:1603.09382, equation 2,
    scaled in training and not at inference.

    >>> import numpy as np
    >>> kept = BranchDropout(0.5)(np.ones((8, 3), "float32"), training=True)
    >>> sorted(set(kept.sum(axis=1).tolist()))
    [0.0, 6.0]
    """

    def __init__(self, drop_path_rate: float, **options: Unpack[LayerOptions]) -> None:
        super().__init__(drop_path_rate, **options)
        self.drop_path_rate = drop_path_rate

    def draws_shape(self, inputs: Array) -> tuple[Any, ...]:
        return (inputs.shape[0], *(1,) * (inputs.ndim - 1))


class ScaledAdd(_Elementwise):
    """Adds a second tensor, scaled, to the first: a damped residual branch of InceptionResNetV2.

    Shapes: two that broadcast; their common shape out.

    Args:
        scale: factor of the second tensor.

    Source: Szegedy et al., arXiv:1602.07261, figure 20.

    >>> import numpy as np
    >>> ScaledAdd(0.5)([np.ones((1, 2), "float32"), np.ones((1, 2), "float32")]).tolist()
    [[1.5, 1.5]]
    """

    least = most = 2

    def __init__(self, scale: float, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.scale = scale

    def merge(self, tensors: list[Array]) -> Array:
        return tensors[0] + tensors[1] * self.scale
