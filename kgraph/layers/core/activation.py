"""Activation: a function of one array, as a layer."""

from __future__ import annotations

from typing import Any

from kgraph import activations
from kgraph.layers.base import Layer
from kgraph.types import Array


class Activation(Layer):
    """Applies an activation function.

    Shapes: any; the same out (`"glu"` halves the last axis).

    Args:
        activation: name, config or function.

    Raises:
        ConfigError: the name is not known.
    """

    supports_masking = True

    def __init__(self, activation: Any, **options: Any) -> None:
        super().__init__(**options)
        self.activation = activations.get(activation)

    def call(self, inputs: Array) -> Array:
        return self.activation(inputs)
