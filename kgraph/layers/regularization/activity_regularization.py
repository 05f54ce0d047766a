"""ActivityRegularization: a penalty on what passes through."""

from __future__ import annotations

from typing import Unpack

from kgraph.graph.traits import Traits
from kgraph.layers.base import Layer
from kgraph.layers.base.options import CommonOptions
from kgraph.regularizers import L1L2
from kgraph.types import Array


class ActivityRegularization(Layer, traits=Traits(idle_at_inference=True)):
    """Returns its input and adds a penalty on it to the loss, divided by the batch size.

    Shapes: any; the same out.

    Args:
        l1: factor of the sum of absolute values.
        l2: factor of the sum of squares.

    >>> import numpy as np
    >>> layer = ActivityRegularization(l2=0.5)
    >>> _ = layer(np.array([[2.0]], "float32"))
    >>> [float(loss) for loss in layer.losses]
    [2.0]
    """

    _kgraph_never_builds = True
    supports_masking = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **options: Unpack[CommonOptions]) -> None:
        super().__init__(activity_regularizer=L1L2(l1, l2), **options)
        self.l1, self.l2 = l1, l2

    def call(self, inputs: Array) -> Array:
        return inputs
