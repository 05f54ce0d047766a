"""Activation: a function of one array, as a layer."""

from __future__ import annotations

from typing import Unpack

from kgraph import activations
from kgraph.graph.traits import Traits
from kgraph.layers.base import Layer
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.base.traits import activated
from kgraph.types import ActivationLike, Array


def _traits(layer: Activation) -> Traits:
    last = activated(layer, None)
    return Traits(idle_at_inference=last.function == "linear", activation=last)


class Activation(Layer, traits=_traits):
    """Applies an activation function.

    Shapes: any; the same out (`"glu"` halves the last axis).

    Args:
        activation: name, config or function.

    Raises:
        ConfigError: the name is not known.

    >>> import numpy as np
    >>> Activation("relu")(np.array([[-1.0, 2.0]], "float32")).tolist()
    [[0.0, 2.0]]
    """

    _kgraph_never_builds = True
    supports_masking = True

    def __init__(self, activation: ActivationLike, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.activation = activations.get(activation)

    def call(self, inputs: Array) -> Array:
        return inputs if self.activation is None else self.activation(inputs)
