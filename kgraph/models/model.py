"""Model: the object that holds state for users. A thin facade over graph, program and training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kgraph import export, saving
from kgraph.compiler.inputs import arrange_inputs, conform
from kgraph.compiler.run import run_graph
from kgraph.errors import ConfigError, GraphError, StateError, check_keys, nearest
from kgraph.graph import Graph, SymbolicTensor, freeze, verify
from kgraph.graph.structure import fill, leaves, map_structure
from kgraph.graph.traits import Traits
from kgraph.layers.base import InputLayer, Layer
from kgraph.layers.base.core import label_of
from kgraph.models.copies import deep_copy, pickled
from kgraph.models.costing import Costing
from kgraph.models.execution import Execution
from kgraph.models.looks import Looks
from kgraph.models.plain import graph_from_config, graph_to_config
from kgraph.models.trainable import Trainable
from kgraph.types import Shape, Tree


# Configs of models are long: their shapes are inferred anew sooner than looked up.
class Model(Trainable, Costing, Execution, Looks, Layer, traits=Traits(same_shapes=False)):
    """Layers grouped into something that can be trained, evaluated, saved and drawn.

    Two ways to make one. From symbolic tensors, `Model(inputs, outputs)`: the model is a graph,
    pure data that can be drawn, cut, cloned and saved. Or by subclassing, with layers in
    `__init__` and the computation in `call`.

    Args:
        inputs, outputs: a symbolic tensor, or a list, tuple or dict of them. An input that a layer
            computed cuts the graph there.
        name: name of the model.
        trainable: False keeps all weights out of training.

    Attributes:
        graph: the model as immutable data; None for a subclassed model that has seen no data.

    Raises:
        GraphError: the outputs cannot be computed from the inputs, or names clash.

    >>> import kgraph as keras
    >>> inputs = keras.Input((32,))
    >>> outputs = keras.layers.Dense(10)(inputs)
    >>> keras.Model(inputs, outputs).count_params()
    330
    """

    _kgraph_path_free = frozenset({"graph_layers", "_layers_in_order"})
    _kgraph_masks_inside = True
    _graph: Graph | None = None
    _symbols: tuple[Tree, Tree] = ((), ())
    graph_layers: dict[str, Layer]

    def __init__(
        self,
        inputs: Tree = None,
        outputs: Tree = None,
        name: str | None = None,
        trainable: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(name=name, trainable=trainable, **options)
        if (inputs is None) != (outputs is None):
            raise ConfigError("A functional model needs both inputs and outputs")
        if inputs is not None:
            self._become(inputs, outputs)
            if not trainable:
                self.trainable = False

    def _become(self, inputs: Tree, outputs: Tree) -> None:
        """Takes a graph: from here on the model is functional."""
        frozen = freeze(inputs, outputs, _input_like)
        verify(frozen.graph)
        self._graph, self.graph_layers = frozen.graph, frozen.layers
        self._symbols = (inputs, outputs)
        self.autocast = False  # inputs get the dtype of their InputLayer; layers cast
        self.built = True

    # --- as a layer ------------------------------------------------------------------------------

    def call(self, inputs: Tree, training: bool | None = None, mask: Tree = None) -> Tree:
        """Computes the outputs of a functional model; a subclass writes its own."""
        graph, context = self._graph, self._kgraph.context
        if graph is None or context is None:
            raise ConfigError(
                f"{label_of(self)} has no call method",
                hint="define call(self, inputs), or make it of tensors: Model(inputs, outputs)",
            )
        arrays = arrange_inputs(graph, inputs)
        masks = [context.mask_of(array) for array in arrays]
        if mask is not None:
            masks = list(leaves(mask)) if isinstance(mask, (list, tuple, dict)) else [mask]
        arrays = conform(graph, arrays)
        for array, own in zip(arrays, masks):
            context.set_mask(array, own)
        masked = any(own is not None for own in masks)
        outputs, out_masks = run_graph(graph, self.graph_layers, arrays, context, masked)
        for output, own in zip(outputs, out_masks):
            context.set_mask(output, own)
        return fill(graph.output_structure, outputs)

    @property
    def _kgraph_inner_graph(self) -> Graph | None:
        return self._graph if type(self).call is Model.call else None  # an own call comes first

    @property
    def graph(self) -> Graph | None:
        return self._graph

    @property
    def _kgraph_base_name(self) -> str:
        return (
            "functional"
            if type(self) is Model and self._graph is not None
            else super()._kgraph_base_name
        )

    def _kgraph_children(self) -> Iterator[tuple[str, Any]]:
        if self._graph is None:
            yield from super()._kgraph_children()
            return
        for name, layer in self.graph_layers.items():
            if not isinstance(layer, InputLayer):
                yield name, layer

    @property
    def layers(self) -> list[Layer]:
        """The layers in the order of the summary, input layers among them."""
        if self._graph is None:
            return [layer for _, layer in super()._kgraph_children()]
        return list(self.graph_layers.values())

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Returns the layer of a name, or at an index of `layers`.

        Raises:
            ConfigError: there is none.
        """
        if (name is None) == (index is None):
            raise ConfigError("get_layer takes a name or an index")
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ConfigError(
                    f"{label_of(self)} has {len(self.layers)} layers", received=f"index {index}"
                )
            return self.layers[index]
        named = self._named_layers()
        check_keys(f"{label_of(self)}", {str(name): None}, named)
        return named[str(name)]

    def _named_layers(self) -> dict[str, Layer]:
        if self._graph is not None:
            return dict(self.graph_layers)
        return {layer.name: layer for layer in self.layers} | dict(super()._kgraph_children())

    # --- tensors ---------------------------------------------------------------------------------

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic inputs, flat."""
        return list(leaves(self._symbols[0]))

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic outputs, flat."""
        return list(leaves(self._symbols[1]))

    @property
    def input(self) -> Tree:
        """The symbolic inputs, in the structure in which they were given."""
        return self._own_symbols(0)

    @property
    def output(self) -> Tree:
        """The symbolic outputs, in the structure in which they were given."""
        return self._own_symbols(1)

    def _own_symbols(self, which: int) -> Tree:
        if self._graph is None:
            raise StateError(
                f"{label_of(self)} is not a functional model and has no symbolic tensors "
                "of its own",
                hint="make it of tensors: Model(inputs, outputs)",
            )
        return self._symbols[which]

    @property
    def input_names(self) -> list[str]:
        """The keys under which inputs are fed."""
        return list(self._known_graph().input_names)

    @property
    def output_names(self) -> list[str]:
        """The keys of outputs in losses, metrics and targets."""
        return list(self._known_graph().output_names)

    @property
    def input_shape(self) -> Shape | Any:
        """Shape of the input (None for unknown sizes), or a structure of shapes."""
        return map_structure(lambda symbol: symbol.shape, self.input)

    @property
    def output_shape(self) -> Shape | Any:
        """Shape of the output (None for unknown sizes), or a structure of shapes."""
        return map_structure(lambda symbol: symbol.shape, self.output)

    def _known_graph(self) -> Graph:
        graph = self.graph or self.lowering_graph
        if graph is None:
            raise StateError(f"{label_of(self)} has no graph yet", hint="call it on data once")
        return graph

    # --- description -----------------------------------------------------------------------------

    @property
    def is_plain_functional(self) -> bool:
        """Whether the graph is all there is to the model: its class adds nothing to rebuild."""
        return self._graph is not None and type(self).__init__ is Model.__init__

    def get_config(self) -> dict[str, Any]:
        """Returns the model as plain data: of a functional one layers, options and calls."""
        if not self.is_plain_functional:
            return super().get_config()
        assert self._graph is not None
        config = {"name": self.name, "trainable": self._kgraph.trainable}
        return config | graph_to_config(self._graph, self.graph_layers)

    def to_json(self, **options: Any) -> str:
        """Returns the model (without weights) as JSON text; `options` go to `json.dumps`.

        Raises:
            ConfigError: an option of a layer, such as a lambda, cannot be written down.
        """
        return saving.model_to_json(self, **options)

    def compile_objects(self) -> list[Any]:
        """Returns what `compile` was given: optimizer, losses and metrics, classes of one's own."""
        return [] if self._options is None else [self.optimizer, *vars(self._options).values()]

    def save(
        self,
        filepath: Any,
        overwrite: bool = True,
        include_optimizer: bool = True,
        wait: bool = True,
    ) -> saving.PendingSave | None:
        """Writes architecture, weights, compile options and optimizer state into one file.

        See `kgraph.saving.save_model`, also for folders, files of Keras' and `wait=False`.
        """
        return saving.save_model(self, filepath, overwrite, include_optimizer, wait)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return pickled(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return deep_copy(self, memo)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Writes the weights alone into one file: `.kgraph`, `.safetensors` or `.weights.h5`."""
        saving.save_weights(self, filepath, overwrite=overwrite)

    def load_weights(
        self, filepath: Any, skip_mismatch: bool = False, strict: bool = True
    ) -> saving.WeightReport:
        """Reads weights from a file into the layers of the same paths; says which.

        See `kgraph.saving.load_weights`.
        """
        return saving.load_weights(self, filepath, skip_mismatch, strict)

    def export(
        self,
        filepath: Any,
        weights: str = "beside",
        platforms: Sequence[str] | None = None,
        overwrite: bool = True,
    ) -> None:
        """Writes what the model computes at inference into one file, to be run without its code.

        See `kgraph.export.export`; `kgraph.export.load` reads the file.
        """
        export.export(self, filepath, weights, platforms, overwrite)

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Any:
        """Makes a model, with fresh weights, from what `get_config` returned."""
        if "nodes" not in config:
            return super().from_config(config)
        inputs, outputs = graph_from_config(config, custom_objects)
        model = cls(inputs, outputs, name=config.get("name"))
        names = list(model._known_graph().input_names)
        if names != list(config["input_names"]):
            raise GraphError(
                "The rebuilt model has other inputs than the config",
                expected=config["input_names"],
                received=names,
                hint=nearest(names[0], config["input_names"]),
            )
        model._kgraph.trainable = bool(config.get("trainable", True))
        return model


def _input_like(symbol: SymbolicTensor) -> SymbolicTensor:
    """Returns a new input with the spec of a tensor at which a graph is cut."""
    return InputLayer(dims=symbol.spec.dims, dtype=symbol.dtype).make_symbol()
