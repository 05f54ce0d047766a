"""Dense: a matrix product over the last axis."""

from __future__ import annotations

from typing import Any, Unpack

import jax.numpy as jnp

from kgraph import activations
from kgraph.checks import check_count
from kgraph.graph.traits import LinearForm, Projection, Traits
from kgraph.layers.base import InputSpec
from kgraph.layers.base.adaptable import AdaptableCommonOptions, _Adaptable, adapted
from kgraph.layers.base.traits import activated
from kgraph.layers.base.weight_options import KernelAndBias, add_with_options, set_options
from kgraph.types import (
    ActivationLike,
    Array,
    ConstraintLike,
    InitializerLike,
    RegularizerLike,
    Shape,
)

_LINEAR, _PROJECTION = (LinearForm(),), Projection()


def _traits(layer: Dense) -> Traits:
    if layer.lora_enabled:
        return Traits(activation=activated(layer))
    return Traits(linear=_LINEAR, projection=_PROJECTION, activation=activated(layer))


class Dense(_Adaptable, KernelAndBias, traits=_traits):
    """Multiplies the last axis by a matrix, adds a bias, and applies an activation.

    Shapes: `[batch, *any, features]` in, `[batch, *any, units]` out. Weights `kernel`:
    `[features, units]`; `bias`: `[units]`.

    Args:
        units: size of the last axis of the output.
        activation: name or function; None for none.
        use_bias: whether a bias is added.
        kernel_initializer, kernel_regularizer, kernel_constraint: of the matrix.
        bias_initializer, bias_regularizer, bias_constraint: of the bias.
        lora_rank, lora_alpha: see `enable_lora`.

    Raises:
        ConfigError: `units` is not a positive whole number.

    >>> from kgraph.layers import Input
    >>> layer = Dense(4, activation="relu")
    >>> layer(Input((3,))).shape
    (None, 4)
    >>> [weight.shape for weight in layer.weights]
    [(3, 4), (4,)]
    """

    supports_masking = True
    input_spec: Any = InputSpec(min_ndim=2)

    def __init__(
        self,
        units: int,
        activation: ActivationLike | None = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        activity_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **options: Unpack[AdaptableCommonOptions],
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **options)
        self.units = check_count("Dense", "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        set_options(self, "kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        set_options(self, "bias", bias_initializer, bias_regularizer, bias_constraint)

    def build(self, input_shape: Shape) -> None:
        features = input_shape[-1]
        self.kernel = add_with_options(self, "kernel", (features, self.units))
        self.bias = None
        if self.use_bias:
            self.bias = add_with_options(self, "bias", (self.units,))
        self.input_spec = InputSpec(min_ndim=2, axes={-1: features})
        self._kgraph_start_lora()

    def call(self, inputs: Array) -> Array:
        outputs = inputs @ adapted(self, self.kernel)
        if self.bias is not None:
            outputs = outputs + jnp.expand_dims(self.bias, range(outputs.ndim - 1))
        return outputs if self.activation is None else self.activation(outputs)
