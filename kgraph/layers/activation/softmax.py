"""Softmax over one or several axes, with a mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import jax.numpy as jnp

from kgraph import activations
from kgraph.errors import GraphError
from kgraph.graph.traits import Activated, Traits
from kgraph.layers.base import Layer
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.types import Array


def _traits(layer: Softmax) -> Traits:
    last = Activated("softmax" if layer.axis == -1 else "", uses_mask=True)
    return Traits(activation=last)


class Softmax(Layer, traits=_traits):
    """Makes values positive with sum 1.

    Shapes: any; the same out. Mask: broadcastable to the input from its last axis; False (or at
    most 0.5) gives probability 0, also where a whole group is masked.

    Args:
        axis: axis or axes summed over.

    >>> import numpy as np
    >>> Softmax()(np.array([[2.0, 2.0]], "float32")).tolist()
    [[0.5, 0.5]]
    """

    _kgraph_never_builds = True
    supports_masking = True

    def __init__(self, axis: int | Sequence[int] = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis = axis

    def call(self, inputs: Array, mask: Array | None = None) -> Array:
        if mask is None:
            return activations.softmax(inputs, self.axis)
        keep = self._fitted(mask, inputs)
        lowest = -3e4 if inputs.dtype == jnp.float16 else -1e9
        probabilities = activations.softmax(jnp.where(keep, inputs, lowest), self.axis)
        return jnp.where(keep, probabilities, 0)

    def _fitted(self, mask: Array, inputs: Array) -> Array:
        """Returns the mask as truth values, in the rank of the input."""
        shape = getattr(mask, "shape", None)
        sizes = zip(reversed(shape or ()), reversed(inputs.shape))
        if (
            shape is None
            or len(shape) > inputs.ndim
            or any(m not in (1, size) for m, size in sizes)
        ):
            raise GraphError(
                f"{label_of(self)} has a mask that does not fit its input",
                expected=f"a mask that broadcasts to {list(inputs.shape)}",
                received=repr(mask) if shape is None else f"{list(shape)}",
                hint="pass mask=... in the shape of the scores",
            )
        keep = mask if mask.dtype == bool else mask > 0.5
        return jnp.expand_dims(keep, range(inputs.ndim - mask.ndim))
