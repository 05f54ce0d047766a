"""Identity: the layer that does nothing."""

from __future__ import annotations

from kgraph.layers.base import Layer
from kgraph.types import Tree


class Identity(Layer):
    """Returns its input; useful as a named place in a graph.

    Shapes: any, or a structure of any; the same out.
    """

    supports_masking = True

    def call(self, inputs: Tree) -> Tree:
        return inputs
