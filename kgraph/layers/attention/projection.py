"""The projections into and out of attention heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from kgraph import activations, initializers
from kgraph.initializers.scaling import with_axes
from kgraph.layers.base import Layer
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.base.weight_options import add_with_options, set_options
from kgraph.types import (
    ActivationLike,
    Array,
    ConstraintLike,
    InitializerLike,
    RegularizerLike,
    Shape,
)


class HeadProjection(Layer):
    """Contracts the last axes of its input with a kernel, and adds a bias.

    Shapes: `[*lead, *in]` in, `[*lead, *output_sizes]` out. Weights: `kernel`
    `[*in, *output_sizes]`, `bias` `[*output_sizes]`.

    Args:
        output_sizes: the axes that take the place of the contracted ones.
        contracted: number of contracted axes.
        activation: of the output.
        use_bias: whether there is a bias.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            kernel_constraint, bias_constraint: as of `Dense`.
    """

    def __init__(
        self,
        output_sizes: Sequence[int],
        contracted: int = 1,
        activation: ActivationLike | None = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        bias_regularizer: RegularizerLike | None = None,
        kernel_constraint: ConstraintLike | None = None,
        bias_constraint: ConstraintLike | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.output_sizes, self.contracted = tuple(output_sizes), contracted
        self.activation = None if activation is None else activations.get(activation)
        self.use_bias = use_bias
        summed, made = range(contracted), range(contracted, contracted + len(self.output_sizes))
        fitted = with_axes(initializers.get(kernel_initializer), summed, made)
        set_options(self, "kernel", fitted, kernel_regularizer, kernel_constraint)
        set_options(self, "bias", bias_initializer, bias_regularizer, bias_constraint)

    def build(self, input_shape: Shape) -> None:
        shape: Any = (*input_shape[-self.contracted :], *self.output_sizes)
        self.kernel = add_with_options(self, "kernel", shape)
        self.bias: Any = None
        if self.use_bias:
            self.bias = add_with_options(self, "bias", self.output_sizes)

    def call(self, inputs: Array) -> Array:
        outputs = jnp.tensordot(inputs, self.kernel, self.contracted)
        if self.bias is not None:
            free = outputs.ndim - self.bias.ndim
            outputs = outputs + jax.lax.expand_dims(self.bias, range(free))
        return outputs if self.activation is None else self.activation(outputs)
