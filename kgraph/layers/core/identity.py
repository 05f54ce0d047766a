"""Identity: the layer that does nothing."""

from __future__ import annotations

from typing import Any

from kgraph.graph.traits import Traits
from kgraph.layers.base import Layer
from kgraph.types import Tree


class Identity(Layer, traits=Traits(idle_at_inference=True)):
    """Returns its input; useful as a named place in a graph.

    Shapes: any, or a structure of any; the same out.

    >>> import numpy as np
    >>> Identity()(np.array([1.0], "float32")).tolist()
    [1.0]
    """

    _kgraph_never_builds = True
    supports_masking = True

    def call(self, inputs: Tree) -> Any:
        return inputs
