"""Layers as plain data, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kgraph import registry
from kgraph.types import CustomObjects

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


def serialize(layer: Layer) -> dict[str, Any]:
    """Returns a layer's class and options as JSON types that `deserialize` reads.

    >>> from kgraph.layers import Dense
    >>> deserialize(serialize(Dense(4, "relu"))).units
    4

    Raises:
        ConfigError: an option, such as a lambda, cannot be written down.
    """
    return registry.serialize("layer", layer)


def deserialize(config: object, custom_objects: CustomObjects | None = None) -> Any:
    """Returns the layer that `serialize` wrote down, without the values of its weights.

    Args:
        config: what `serialize` returned.
        custom_objects: your own classes and functions by name.

    Raises:
        ConfigError: the class is not known, or an option has a value it cannot have.

    >>> deserialize({"class_name": "Dense", "config": {"units": 4}}).units
    4
    """
    return registry.deserialize("layer", config, custom_objects)
