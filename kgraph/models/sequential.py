"""Sequential: a model that is a list of layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kgraph.errors import ConfigError, KGraphError, StateError
from kgraph.graph import SymbolicTensor
from kgraph.graph.structure import map_structure
from kgraph.layers.base import InputLayer, Layer
from kgraph.layers.base.core import label_of
from kgraph.models.model import Model
from kgraph.registry import describe, restore
from kgraph.tracebacks import entries
from kgraph.types import Tree


@entries
class Sequential(Model):
    """A stack of layers, each with one input and one output.

    With an `Input` in front it is a functional model from the start; without one it becomes one
    when it first sees data or a shape.

    Args:
        layers: layers in order; the first may be `Input(...)`.
        trainable: False keeps all weights out of training.
        name: name of the model.
    """

    _kgraph_is_sequential = True

    def __init__(
        self,
        layers: Sequence[Any] | None = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, trainable=trainable)
        if isinstance(layers, Layer):
            raise ConfigError(
                "Sequential takes its layers as one list",
                received=label_of(layers),
                hint="Sequential([first, second, ...])",
            )
        for layer in layers or ():
            _append(self, layer)
        _rebuild(self)
        if not trainable:
            self.trainable = False

    def add(self, layer: Layer) -> None:
        """Puts a layer (or an `Input`) at the end."""
        _append(self, layer)
        try:
            _rebuild(self)
        except KGraphError:
            self._kgraph.stacked.pop()
            raise

    def pop(self, rebuild: bool = True) -> Layer:
        """Takes the last layer off and returns it."""
        if not self._kgraph.stacked:
            raise StateError(f"{label_of(self)} has no layers")
        layer = self._kgraph.stacked.pop()
        if rebuild:
            _rebuild(self)
        return layer

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, without the input layer (as in Keras)."""
        return [x for x in self._kgraph.stacked if not isinstance(x, InputLayer)]

    def build(self, input_shape: Any = None) -> None:
        """Connects the layers for inputs of this shape (with the batch axis)."""
        if self._kgraph.graph is None and input_shape is not None:
            _connect(self, InputLayer(batch_shape=tuple(input_shape), dtype=self.compute_dtype))

    def _kgraph_connect(self, inputs: Tree) -> None:
        if self._kgraph.graph is None:
            map_structure(lambda item: self.build((None, *item.shape[1:])), inputs)

    def _kgraph_children(self) -> Iterator[tuple[str, Layer]]:
        if self._kgraph.graph is None:
            yield from ((str(i), layer) for i, layer in enumerate(self._kgraph.stacked))
        yield from super()._kgraph_children()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._kgraph.context is None and args:
            self._kgraph_connect(args[0])
        return super().__call__(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns name and layers as plain data, and the input's shape if it is known."""
        inputs = [describe(self.inputs[0].call.layer)] if self._kgraph.graph is not None else []
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


def _append(model: Sequential, layer: Any) -> None:
    stacked = model._kgraph.stacked
    if isinstance(layer, SymbolicTensor):
        layer = layer.call.layer
    if not isinstance(layer, Layer):
        raise ConfigError(
            "A Sequential model is made of layers", received=f"{layer!r}",
            hint="use Lambda(function) or a subclass of Layer for a function",
        )  # fmt: skip
    if isinstance(layer, InputLayer) and stacked:
        raise ConfigError(f"{label_of(model)}: Input goes in front of all other layers")
    if any(layer is other for other in stacked):
        raise ConfigError(
            f"{label_of(layer)} is already in this model",
            hint="build models with shared layers by Model(inputs, outputs)",
        )
    stacked.append(layer)


def _rebuild(model: Sequential) -> None:
    core = model._kgraph
    entry = core.stacked[0] if core.stacked else None
    if isinstance(entry, InputLayer) and len(core.stacked) > 1:
        _connect(model, entry)
    elif core.graph is not None:
        core.graph, core.layers, model.built = None, {}, False
        core.programs.forget()


def _connect(model: Sequential, entry: InputLayer) -> None:
    """Makes the model functional, from its input layer on."""
    core = model._kgraph
    core.symbols = (), ()  # drops the last calls: `layer.output` is of the new
    symbol = entry.make_symbol()
    tensor: Any = symbol
    for layer in core.stacked:
        if layer is not entry:
            tensor = layer(tensor)
    model._kgraph_become(symbol, tensor)
    core.programs.forget()
