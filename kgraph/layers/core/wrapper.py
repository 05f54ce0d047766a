"""Wrapper: the base of layers that hold another layer."""

from __future__ import annotations

from typing import Any, Unpack

from kgraph.errors import ConfigError
from kgraph.layers.base import Layer
from kgraph.layers.base.options import LayerOptions


class Wrapper(Layer):
    """Base of layers that do something with one other layer, which they build; it has no math.

    Args:
        layer: the layer inside.

    Raises:
        ConfigError: that is not a layer.

    >>> import numpy as np
    >>> class Twice(Wrapper):
    ...     def call(self, inputs):
    ...         return self.layer(self.layer(inputs))
    >>> from kgraph.layers import Dense
    >>> Twice(Dense(3))(np.ones((2, 3), "float32")).shape
    (2, 3)
    """

    def __init__(self, layer: Layer, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if not isinstance(layer, Layer):
            raise ConfigError(f"{type(self).__name__} wraps a Layer", received=repr(layer))
        self.layer = layer

    def build(self, input_shape: Any) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)
            self.layer.built = True
