"""The weights of a model as the variables of a pure program, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from kgraph.compiler import Program, Variables
from kgraph.errors import StateError
from kgraph.layers.base.between_blocks import between_blocks
from kgraph.layers.base.core import label_of

if TYPE_CHECKING:
    from kgraph.models.model import Model


def variables_for(self: Model, program: Program) -> Variables:
    """Returns the weights as the variables of a program that the model was lowered to.

    >>> import kgraph as keras
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> list(model.variables_for(keras.lower(model))["params"]["dense"])
    ['kernel', 'bias']
    """
    return self._kgraph.programs.variables(program)


def assign(self: Model, variables: Variables) -> None:
    """Sets the weights to the variables of a program: what a loop of your own has trained.

    They then count in `predict`, `save`, `export` and in the next `fit`. `variables` are
    `{"params": ..., "state": ...}`, or one of the two.

    Raises:
        StateError: one is missing, unknown or of another shape; none is set then.
    """
    program = self._kgraph.programs.plain()
    values = program.weights.layout.by_weight(variables, tuple(variables))
    places = [place for place in program.weights.places if id(place.weight) in values]
    known = {(place.collection, *place.path) for place in places}
    for path, _ in jax.tree_util.tree_leaves_with_path(dict(variables)):
        names = tuple(str(getattr(key, "key", key)) for key in path)
        if names not in known:
            raise StateError(
                f"{label_of(self)} has no weight {'/'.join(names)!r}",
                hint="variables of repeated blocks or folded layers: program.unpack(variables)",
            )
    for place in places:
        value = values[id(place.weight)]
        if jnp.shape(value) != place.weight.shape:
            raise StateError(
                f"The variable {'/'.join((place.collection, *place.path))!r} has another shape",
                expected=place.weight.shape,
                received=jnp.shape(value),
            )
    with between_blocks:
        for place in places:
            place.weight.path = place.weight.path or "/".join(place.path)
            place.weight.assign(values[id(place.weight)])
