"""Layers with other options and the weights of another, for compiler passes."""

from __future__ import annotations

from kgraph.layers.base.binding import holds_bindable
from kgraph.layers.base.layer import Layer
from kgraph.types import Config


def variant(layer: Layer, config: Config) -> Layer:
    """Returns a layer with other options and the same weights."""
    other: Layer = type(layer).from_config({**config, "name": layer.name})
    core, twin = layer._kgraph, other._kgraph
    twin.weights, twin.trainable = core.weights, core.trainable
    for name, value in vars(layer).items():
        bindable = name not in layer._kgraph_unbound and holds_bindable(value)
        if bindable or name in ("built", "input_spec"):
            vars(other)[name] = value
    return other
