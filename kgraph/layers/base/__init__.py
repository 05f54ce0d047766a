"""What every layer is made of."""

from kgraph.layers.base.context import Context
from kgraph.layers.base.input_layer import Input, InputLayer
from kgraph.layers.base.input_spec import InputSpec
from kgraph.layers.base.layer import Layer
from kgraph.layers.base.scopes import RematScope, device, name_scope, remat
from kgraph.layers.base.stateless_scope import StatelessScope
from kgraph.layers.base.tree import Held
from kgraph.layers.base.variable import Variable, create_values

Operation = Layer
"""In Keras a base of Layer; here all that a graph calls is a layer."""

__all__ = [
    "Context", "Held", "Input", "InputLayer", "InputSpec", "Layer", "Operation", "RematScope",
    "StatelessScope", "Variable", "create_values", "device", "name_scope", "remat",
]  # fmt: skip
