"""A program for inference together with its weights, which are folded once for each set of them."""

from __future__ import annotations

import weakref
from typing import Any

from jax.core import Tracer

from kgraph.compiler.folded import folded_values
from kgraph.compiler.layout import Variables
from kgraph.compiler.program import Program
from kgraph.layers.base.variable import values_of
from kgraph.types import Array


class Inference:
    """Keeps the folded weights of a program for as long as the model's stay the same.

    Arrays in JAX cannot be changed, so weights are the same if they are held by the same objects:
    training, `assign`, loading, and another model that shares a layer all put new ones there. The
    model's arrays are held weakly: what was replaced is free at once.

    Args:
        program: what `lower(model, inference=True)` returned.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        distinct = {id(w): w for fold in program.folds.values() for w in fold.sources}
        self._sources = list(distinct.values())
        self._held: tuple[list[weakref.ref[Array]], dict[int, Array]] | None = None

    def variables(self) -> Variables:
        """Returns the weights as they are now, for `program`, folded if anything is to fold."""
        weights = [place.weight for place in self.program.weights.places]
        values: dict[int, Any] = dict(zip(map(id, weights), values_of(weights)))
        now = [values[id(weight)] for weight in self._sources]
        if any(isinstance(array, Tracer) for array in now):
            return self.program.weights.layout.nest(values)  # what is traced must not be kept
        held = self._held  # other threads may predict as well
        if held is None or any(seen() is not array for seen, array in zip(held[0], now)):
            held = self._held = None  # the old ones are free before there are new ones
            folded = folded_values(self.program.folds.values(), values)
            held = self._held = [weakref.ref(array) for array in now], folded
        return self.program.weights.folded.nest({**values, **held[1]})

    def forget(self) -> None:
        """Frees the folded weights; they are made anew when they are asked for."""
        self._held = None
