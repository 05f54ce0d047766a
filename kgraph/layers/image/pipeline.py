"""Several layers as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from kgraph.errors import ConfigError
from kgraph.layers.base import Layer
from kgraph.layers.base.options import LayerOptions
from kgraph.types import Tree


class Pipeline(Layer):
    """Applies layers one after the other; called alone it is in training, as its layers are.

    Shapes: what the first layer takes in, what the last one gives out.

    Args:
        layers: the layers, in the order of application.

    Raises:
        ConfigError: something in `layers` is not a layer.

    >>> import numpy as np
    >>> from kgraph.layers.image import AutoContrast, RandomInvert
    >>> image = np.array([10.0, 20.0, 30.0], "float32").reshape(1, 3, 1)
    >>> pipeline = Pipeline([AutoContrast(), RandomInvert((1.0, 1.0))])
    >>> np.asarray(pipeline(image)).ravel().tolist()
    [255.0, 127.5, 0.0]
    """

    _kgraph_masks_inside = True

    def __init__(self, layers: Sequence[Layer], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        for layer in layers:
            if not isinstance(layer, Layer):
                raise ConfigError("Pipeline takes a list of layers", received=repr(layer))
        self.layers = list(layers)

    def call(self, inputs: Tree, training: bool = True) -> Any:
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs
