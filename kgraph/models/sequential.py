"""Sequential: a model that is a list of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kgraph.errors import ConfigError, KGraphError, StateError
from kgraph.graph import SymbolicTensor
from kgraph.graph.structure import map_structure
from kgraph.layers.base import InputLayer, Layer
from kgraph.layers.base.core import label_of
from kgraph.models.model import Model
from kgraph.registry import describe, restore
from kgraph.types import Tree


class Sequential(Model):
    """A stack of layers, each with one input and one output.

    With an `Input` in front it is a functional model from the start; without one it becomes one
    when it first sees data or a shape.

    Args:
        layers: layers in order; the first may be `Input(...)`.
        trainable: False keeps all weights out of training.
        name: name of the model.
    """

    def __init__(
        self,
        layers: Sequence[Any] | None = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, trainable=trainable)
        self._layers_in_order: list[Layer] = []
        for layer in layers or ():
            self._append(layer)
        self._rebuild()
        if not trainable:
            self.trainable = False

    def add(self, layer: Any) -> None:
        """Puts a layer (or an `Input`) at the end."""
        self._append(layer)
        try:
            self._rebuild()
        except KGraphError:
            self._layers_in_order.pop()
            raise

    def _append(self, layer: Any) -> None:
        if isinstance(layer, SymbolicTensor):
            layer = layer.call.layer
        if not isinstance(layer, Layer):
            raise ConfigError(
                "A Sequential model is made of layers", received=f"{layer!r}",
                hint="use Lambda(function) or a subclass of Layer for a function",
            )  # fmt: skip
        if isinstance(layer, InputLayer) and self._layers_in_order:
            raise ConfigError(f"{label_of(self)}: Input goes in front of all other layers")
        if any(layer is other for other in self._layers_in_order):
            raise ConfigError(
                f"{label_of(layer)} is already in this model",
                hint="build models with shared layers by Model(inputs, outputs)",
            )
        self._layers_in_order.append(layer)

    def pop(self, rebuild: bool = True) -> Layer:
        """Takes the last layer off and returns it."""
        if not self._layers_in_order:
            raise StateError(f"{label_of(self)} has no layers")
        layer = self._layers_in_order.pop()
        if rebuild:
            self._rebuild()
        return layer

    def _rebuild(self) -> None:
        entry = self._layers_in_order[0] if self._layers_in_order else None
        if isinstance(entry, InputLayer) and len(self._layers_in_order) > 1:
            self._connect(entry)
        elif self._graph is not None:
            self._graph, self.built = None, False
            self.graph_layers = {}
            self._forget_programs()

    def _connect(self, entry: InputLayer) -> None:
        self._symbols = (
            (),
            (),
        )  # drops the last calls: `layer.output` is of the new
        symbol = entry.make_symbol()
        tensor: Tree = symbol
        for layer in self._layers_in_order:
            if layer is not entry:
                tensor = layer(tensor)
        self._become(symbol, tensor)
        self._forget_programs()

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, without the input layer (as in Keras)."""
        return [x for x in self._layers_in_order if not isinstance(x, InputLayer)]

    def build(self, input_shape: Any = None) -> None:
        """Connects the layers for inputs of this shape (with the batch axis)."""
        if self._graph is None and input_shape is not None:
            entry = InputLayer(batch_shape=tuple(input_shape), dtype=self.compute_dtype)
            self._connect(entry)

    def trace_for(self, inputs: Tree) -> None:
        """Connects the layers for data like this, if they are not connected."""
        if self._graph is None:
            self.build((None, *inputs.shape[1:]))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._kgraph.context is None and self._graph is None and args:
            map_structure(lambda item: self.build((None, *item.shape[1:])), args[0])
        return super().__call__(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns name and layers as plain data, and the input's shape if it is known."""
        inputs = [describe(self.inputs[0].call.layer)] if self._graph is not None else []
        layers = [describe(layer) for layer in self.layers]
        return {"name": self.name, "trainable": self._kgraph.trainable, "layers": inputs + layers}

    @classmethod
    def from_config(cls, config: Any, custom_objects: Any = None) -> Any:
        layers = []
        for data in config["layers"]:
            layer = restore(data)
            layer._kgraph.rename(data["config"].get("name"))
            layers.append(layer)
        model = cls(layers, name=config.get("name"))
        model._kgraph.trainable = bool(config.get("trainable", True))
        return model
