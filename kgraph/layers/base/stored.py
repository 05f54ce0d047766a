"""How a layer's own weights, and what it was built for, stand in files unless its class says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kgraph.errors import StateError
from kgraph.layers.base.core import label_of
from kgraph.layers.base.tree import own_weights
from kgraph.layers.base.variable import Variable

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


def own_by_number(layer: Layer) -> dict[str, Variable]:
    """Returns the weights that a layer declared itself, numbered as Keras does in files."""
    core = layer._kgraph
    resting = core.adapted  # holds what was learned beside it as well, as in Keras
    own = [weight for weight in own_weights(layer) if all(weight is not a for a in core.adapters)]
    own.sort(key=lambda weight: not (weight.trainable or weight is resting))
    return {str(number): weight for number, weight in enumerate(own)}


def load_by_number(layer: Layer, store: Mapping[str, Any]) -> None:
    """Sets the weights that a layer declared itself from arrays by their numbers."""
    own = own_by_number(layer)
    if own.keys() != store.keys():
        raise StateError(
            f"{label_of(layer)} was stored with other variables than it has",
            expected=", ".join(own) or "none",
            received=", ".join(store) or "none",
            hint="override load_own_variables and save_own_variables together",
        )
    for name, weight in own.items():
        weight.assign(store[name])


def build_config(layer: Layer) -> dict[str, Any] | None:
    """Returns the shapes that a layer was built for, as Keras writes them; None if there are none.

    That is the one `input_shape`, or `shapes_dict` with a shape for each argument of `build`.
    """
    shapes = layer._kgraph.shapes
    if len(shapes) > 1:
        return {"shapes_dict": dict(shapes)}
    return {"input_shape": next(iter(shapes.values()))} if shapes else None
