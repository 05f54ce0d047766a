"""The layers."""

from kgraph.layers.base import Context, Input, InputLayer, InputSpec, Layer, Weight, create_values
