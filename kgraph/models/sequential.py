"""Sequential: a model that is a list of layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kgraph.custom_objects import custom_object_scope
from kgraph.errors import ConfigError, KGraphError, StateError
from kgraph.graph import SymbolicTensor
from kgraph.graph.naming import give_names
from kgraph.graph.structure import map_structure
from kgraph.layers.base import InputLayer, Layer
from kgraph.layers.base.call_spec import call_spec, first_argument
from kgraph.layers.base.calling import numbers_as_array
from kgraph.layers.base.core import label_of
from kgraph.layers.base.input_layer import first_input
from kgraph.layers.base.shapes import known_sizes, map_shapes
from kgraph.layers.base.tree import name_paths
from kgraph.models.model import Model
from kgraph.option_types import check_option_types
from kgraph.registry import describe, restore
from kgraph.tracebacks import entries
from kgraph.types import Shape, Tree


@entries
class Sequential(Model):
    """A stack of layers, each with one input and one output.

    With an `Input` in front it is a functional model from the start. Without one it becomes one
    when it first sees data, symbols or a shape, and takes inputs of other sizes later too; its
    inputs may be a list or dict that the first layer takes.

    Args:
        layers: layers in order; the first may be `Input(...)`, a model, or a layer that was given
            `input_shape=`.
        trainable: False keeps all weights out of training.
        name: name of the model.
    """

    _kgraph_is_sequential = True

    def __init__(
        self,
        layers: Iterable[Any] | None = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        if isinstance(layers, Layer):
            raise ConfigError(
                "Sequential takes its layers as one list",
                received=label_of(layers),
                hint="Sequential([first, second, ...])",
            )
        super().__init__(name=name, trainable=trainable)
        for layer in layers or ():
            _append(self, layer)
        _rebuild(self)
        if not trainable:
            self.trainable = False

    def add(self, layer: Layer) -> None:
        """Puts a layer (or an `Input`) at the end."""
        known = list(self._kgraph.stacked)
        try:
            _append(self, layer)
            _rebuild(self)
        except KGraphError:
            self._kgraph.stacked = known
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
        """Connects the layers for inputs of this shape (with the batch axis), or such shapes."""
        if self._kgraph.graph is None and input_shape is not None:
            _connect(self, map_shapes(lambda shape: _entry(self, shape), input_shape))

    def _kgraph_ensure_built(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._kgraph_connect(first_argument(call_spec(type(self)), args, kwargs))

    def _kgraph_connect(self, inputs: Tree) -> None:
        if self._kgraph.graph is None:

            def entry(item: Any) -> SymbolicTensor:
                return _entry(self, (None, *known_sizes(item)[1:]))

            _connect(self, map_structure(entry, numbers_as_array(inputs)))

    @property
    def _kgraph_opens_path(self) -> bool:
        return True

    def _kgraph_children(self) -> Iterator[tuple[str, Layer]]:
        core = self._kgraph
        if core.graph is None:
            named = core.layers.items()
            yield from ((name, layer) for name, layer in named if not isinstance(layer, InputLayer))
        yield from super()._kgraph_children()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._kgraph.context is None and args:
            self._kgraph_connect(args[0])
        return super().__call__(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns name and layers as plain data, and the input's shape if it is known."""
        core = self._kgraph
        layers, built = core.stacked, {}
        if core.graph is not None and isinstance(layers[0], InputLayer):
            layers = [self.inputs[0].call.layer, *self.layers]
        elif core.graph is not None:
            shapes = map_structure(lambda symbol: list(symbol.shape), core.symbols[0])
            built = {"build_input_shape": shapes}
        config = {"name": self.name, "trainable": core.trainable}
        return {**config, "layers": [describe(layer) for layer in layers], **built}

    @classmethod
    def from_config(cls, config: Any, custom_objects: Any = None) -> Any:
        check_option_types(Layer, {k: config[k] for k in ("name", "trainable") if k in config})
        layers = []
        with custom_object_scope(custom_objects):
            for data in config["layers"]:
                layer = restore(data)
                layer._kgraph.rename(data["config"].get("name"))
                layers.append(layer)
        model = cls(layers, name=config.get("name"))
        if config.get("build_input_shape") is not None:
            model.build(config["build_input_shape"])
        model._kgraph.trainable = config.get("trainable", True)
        return model


def _append(model: Sequential, layer: Any) -> None:
    core = model._kgraph
    if isinstance(layer, SymbolicTensor):
        core.entry, layer = layer, layer.call.layer
    if not isinstance(layer, Layer):
        raise ConfigError(
            "A Sequential model is made of layers", received=f"{layer!r}",
            hint="use Lambda(function) or a subclass of Layer for a function",
        )  # fmt: skip
    if isinstance(layer, InputLayer) and core.stacked:
        raise ConfigError(f"{label_of(model)}: Input goes in front of all other layers")
    if any(layer is other for other in core.stacked):
        raise ConfigError(
            f"{label_of(layer)} is already in this model",
            hint="build models with shared layers by Model(inputs, outputs)",
        )
    if not core.stacked and layer._kgraph.input_shape is not None:
        core.stacked.append(InputLayer(batch_shape=layer._kgraph.input_shape))
    core.stacked.append(layer)


def _rebuild(model: Sequential) -> None:
    """Connects the layers, if it is known to what; else names them as they will be named then."""
    core = model._kgraph
    core.graph, core.symbols, model.built = None, ((), ()), False
    names = give_names(core.stacked, {})
    core.layers = {names[id(layer)]: layer for layer in core.stacked}
    core.programs.forget()
    entry = core.stacked[0] if core.stacked else None
    if isinstance(entry, InputLayer):
        given = core.entry
        known = given is not None and given.call.layer is entry
        if len(core.stacked) > 1:
            _connect(model, given if known else entry.make_symbol())
    elif isinstance(entry, Model) and entry._kgraph.graph is not None:
        _connect(model, map_structure(_like, entry._kgraph.symbols[0]))


def _connect(model: Sequential, inputs: Tree) -> None:
    """Makes the model functional, on these symbols."""
    core = model._kgraph
    core.symbols = (), ()  # drops the last calls: `layer.output` is of the new
    tensor: Any = inputs
    for layer in core.stacked:
        if not isinstance(layer, InputLayer):
            tensor = layer(tensor)
    model._kgraph_become(inputs, tensor)
    name_paths(model, core.path or model.name)
    core.programs.forget()


def _entry(model: Sequential, shape: Shape) -> SymbolicTensor:
    return first_input(shape, model.compute_dtype)


def _like(symbol: SymbolicTensor) -> SymbolicTensor:
    return InputLayer(dims=symbol.spec.dims, dtype=symbol.dtype).make_symbol()
