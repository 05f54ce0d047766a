"""Activations with options: functions that are linear above zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import jax

from kgraph import activations
from kgraph.checks import check_count, check_not_negative
from kgraph.layers.base import InputSpec, Layer
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.base.weight_options import add_with_options, set_options
from kgraph.types import Array, ConstraintLike, InitializerLike, RegularizerLike, Shape


class ReLU(Layer):
    """Cuts off what is below a threshold, and optionally what is above a maximum.

    Shapes: any; the same out.

    Args:
        max_value: the largest value returned; None for no limit.
        negative_slope: values below the threshold become `negative_slope * (x - threshold)`.
        threshold: values above it pass unchanged.

    Raises:
        ConfigError: one of these is negative.

    >>> import numpy as np
    >>> ReLU(max_value=6)(np.array([[-1.0, 2.0, 9.0]], "float32")).tolist()
    [[0.0, 2.0, 6.0]]
    """

    _kgraph_never_builds = True
    supports_masking = True

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if max_value is not None:
            check_not_negative("ReLU", "max_value", max_value)
        check_not_negative("ReLU", "negative_slope", negative_slope)
        check_not_negative("ReLU", "threshold", threshold)
        self.max_value, self.negative_slope, self.threshold = max_value, negative_slope, threshold

    def call(self, inputs: Array) -> Array:
        return activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(Layer):
    """Multiplies negative values by a slope.

    Shapes: any; the same out.

    Args:
        negative_slope: 0.3, as in Keras; the function `leaky_relu` has 0.2.

    Raises:
        ConfigError: the slope is negative.

    >>> import numpy as np
    >>> LeakyReLU(0.5)(np.array([[-1.0, 2.0]], "float32")).tolist()
    [[-0.5, 2.0]]
    """

    _kgraph_never_builds = True
    supports_masking = True

    def __init__(self, negative_slope: float = 0.3, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        check_not_negative("LeakyReLU", "negative_slope", negative_slope)
        self.negative_slope = negative_slope

    def call(self, inputs: Array) -> Array:
        return activations.leaky_relu(inputs, self.negative_slope)


class ELU(Layer):
    """Turns negative values into `alpha * (exp(x) - 1)`.

    Shapes: any; the same out.

    Args:
        alpha: the output tends to `-alpha` far below zero.

    Source: Clevert, Unterthiner and Hochreiter, arXiv:1511.07289.

    >>> import numpy as np
    >>> ELU(alpha=2.0)(np.array([[-100.0, 2.0]], "float32")).tolist()
    [[-2.0, 2.0]]
    """

    _kgraph_never_builds = True
    supports_masking = True

    def __init__(self, alpha: float = 1.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.alpha = alpha

    def call(self, inputs: Array) -> Array:
        return activations.elu(inputs, self.alpha)


class PReLU(Layer):
    """Multiplies negative values by slopes that are learned.

    Shapes: `[batch, *any]` in, the same out. Weight `alpha`: the shape of the input without the
    batch, 1 on shared axes.

    Args:
        alpha_initializer, alpha_regularizer, alpha_constraint: of the slopes.
        shared_axes: axis or axes (the batch is axis 0) along which a slope is shared, such as
            `(1, 2)` for the height and width of images.

    Source: He, Zhang, Ren and Sun, arXiv:1502.01852.

    >>> from kgraph.layers import Input
    >>> layer = PReLU(shared_axes=(1, 2))
    >>> _ = layer(Input((28, 28, 8)))
    >>> layer.alpha.shape
    (1, 1, 8)
    """

    supports_masking = True

    def __init__(
        self,
        alpha_initializer: InitializerLike = "zeros",
        alpha_regularizer: RegularizerLike | None = None,
        alpha_constraint: ConstraintLike | None = None,
        shared_axes: int | Sequence[int] | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        set_options(self, "alpha", alpha_initializer, alpha_regularizer, alpha_constraint)
        axes = [shared_axes] if isinstance(shared_axes, int) else list(shared_axes or ())
        self.shared_axes = [check_count("PReLU", "shared_axes", axis) for axis in axes]

    def build(self, input_shape: Shape) -> None:
        own = {i: d for i, d in enumerate(input_shape) if i > 0 and i not in self.shared_axes}
        self.alpha = add_with_options(
            self, "alpha", [own.get(i, 1) for i in range(1, len(input_shape))]
        )
        self.input_spec = InputSpec(ndim=len(input_shape), axes=own)

    def call(self, inputs: Array) -> Array:
        return jax.nn.relu(inputs) - self.alpha[None] * jax.nn.relu(-inputs)
