"""A layer made again from its constructor's arguments."""

from __future__ import annotations

from typing import Any

from kgraph.graph.structure import map_structure
from kgraph.layers.base import Layer
from kgraph.registry import recorded_arguments


def recreate(layer: Layer, **changes: Any) -> Any:
    """Returns a new layer with the options of another, and so with weights of its own.

    Layers among the options are made again as well. What cannot be written into a config (a lambda
    as activation) is taken over.

    Args:
        layer: what is made again.
        changes: options, or `name`, with other values.
    """
    if type(layer).get_config is not Layer.get_config:
        return type(layer).from_config({**layer.get_config(), **changes})

    def again(value: Any) -> Any:
        return recreate(value) if isinstance(value, Layer) else value

    options = {name: map_structure(again, v) for name, v in recorded_arguments(layer).items()}
    common = {"name": layer.name, "trainable": layer.trainable, "dtype": layer.dtype_policy.name}
    return type(layer).from_config({**options, **common, **changes})
