"""Model: the object that holds state for users. A thin facade over graph, programs and trainer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from kgraph import saving
from kgraph.compiler.lower import LiveGraph
from kgraph.errors import ConfigError, GraphError, nearest
from kgraph.extra import extra
from kgraph.graph import Graph, SymbolicTensor, freeze, verify
from kgraph.graph.structure import leaves, map_structure, single
from kgraph.graph.traits import Traits
from kgraph.layers.base import InputLayer, Layer, Variable
from kgraph.layers.base.calling import eager_mask, has_symbols
from kgraph.layers.base.core import label_of
from kgraph.layers.base.first_keys import FirstKeys
from kgraph.layers.base.stateless_scope import scoped
from kgraph.layers.base.tree import named_weights
from kgraph.metrics import Metric
from kgraph.models import (
    compiling,
    copies,
    costing,
    display,
    evaluating,
    files,
    finding,
    fitting,
    forecasting,
    learning_rate,
    state_tree,
    stepping,
    variables,
)
from kgraph.models.core import ModelCore
from kgraph.models.meters import metrics_held
from kgraph.models.plain import graph_from_config, graph_to_config
from kgraph.models.programs import Programs
from kgraph.models.trainer import Trainer
from kgraph.ops.operation import Operation
from kgraph.optimizers import Optimizer
from kgraph.option_types import check_option_types
from kgraph.tracebacks import entries
from kgraph.training.callbacks import History
from kgraph.types import CustomObjects, LossesLike, Shape, Tree


# Configs of models are long: their shapes are inferred anew sooner than looked up.
@entries
class Model(Layer, traits=Traits(same_shapes=False)):
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
        optimizer: what `compile` was given, as an object.
        history: of the last `fit`.
        stop_training: True, set by a callback, ends `fit`; `stop_evaluating` ends `evaluate`, and
            `stop_predicting` ends `predict`.

    Raises:
        GraphError: the outputs cannot be computed from the inputs, or names clash.

    >>> import kgraph as keras
    >>> inputs = keras.Input((32,))
    >>> outputs = keras.layers.Dense(10)(inputs)
    >>> keras.Model(inputs, outputs).count_params()
    330
    """

    optimizer: Optimizer | None = None
    history: History | None = None
    stop_training: bool = False
    if TYPE_CHECKING:

        @property
        def _kgraph(self) -> ModelCore: ...

    _kgraph_core = ModelCore
    _kgraph_masks_inside = True
    _kgraph_is_sequential = False

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        model = super().__new__(cls, *args, **kwargs)
        programs = Programs(model)
        model._kgraph.programs, model._kgraph.trainer = programs, Trainer(model, programs)
        return model

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
            self._kgraph_become(inputs, outputs)
            if not trainable:
                self.trainable = False

    def _kgraph_become(self, inputs: Tree, outputs: Tree) -> None:
        """Takes a graph: from here on the model is functional."""
        frozen = freeze(inputs, outputs, _input_like)
        verify(frozen.graph)
        core, names = self._kgraph, {id(layer): name for name, layer in frozen.layers.items()}
        held = [names[id(layer)] for _, layer in self._kgraph_children() if id(layer) in names]
        core.first = tuple(dict.fromkeys(held))
        core.graph, core.layers, core.symbols = frozen.graph, frozen.layers, (inputs, outputs)
        core.programs.claim(frozen.layers)
        self.autocast = False  # inputs get the dtype of their InputLayer; layers cast
        self.built = core.settled = core.open = True

    # --- as a layer ------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        core = self._kgraph
        if core.context is not None or has_symbols(args, kwargs):
            return super().__call__(*args, **kwargs)
        masked = kwargs.get("mask") is not None or any(
            eager_mask(item) is not None for item in leaves(args)
        )
        if self._kgraph_inner_graph is not None and not masked:
            return core.programs.call(*args, **kwargs)
        outputs = super().__call__(*args, **kwargs)
        if args:
            core.programs.saw(args[0])
        return outputs

    def call(self, inputs: Tree, training: bool | None = None, mask: Tree = None) -> Any:
        """Computes the outputs of a functional model; a subclass writes its own."""
        core = self._kgraph
        if core.context is not None:
            with scoped(None):  # where layers can be built
                core.origin._kgraph_connect(inputs)
            core.follow_origin()
        if core.graph is None or core.context is None:
            raise ConfigError(
                f"{label_of(self)} has no call method",
                hint="define call(self, inputs), or make it of tensors: Model(inputs, outputs)",
            )
        return core.run(core.graph, core.context, inputs, mask)

    def build(self, input_shape: Any) -> None:
        """Makes the weights of a subclassed model for inputs of this shape (with batch axis)."""
        if self._kgraph_inner_graph is None:
            self.compute_output_shape(input_shape)
            self._kgraph.programs.claim({self.name: self})

    def _kgraph_ensure_built(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """Builds the model for these call arguments; its layers are built by the call itself."""
        if type(self).build is Model.build:
            self.built = True
        else:
            super()._kgraph_ensure_built(args, kwargs)

    def _kgraph_connect(self, inputs: Tree) -> None:
        """Makes the graph fit inputs like these, where a model can get one so."""

    @property
    def _kgraph_inner_graph(self) -> Graph | None:
        own_call = type(self).call is not Model.call  # comes first
        return None if own_call else self._kgraph.graph

    @property
    def _kgraph_keys(self) -> FirstKeys:
        return self._kgraph.programs.keys

    @property
    def _kgraph_is_plain(self) -> bool:
        """Whether the graph is all there is to the model: its class adds nothing to rebuild."""
        return self._kgraph.graph is not None and type(self).__init__ is Model.__init__

    @property
    def _kgraph_live(self) -> LiveGraph | None:
        """What is lowered; None as long as a model defined by code has not been called."""
        return self._kgraph.programs.live

    @property
    def _kgraph_base_name(self) -> str:
        plain = type(self) is Model and self._kgraph.graph is not None
        return "functional" if plain else super()._kgraph_base_name

    def _kgraph_children(self) -> Iterator[tuple[str, Layer]]:
        if self._kgraph.graph is None:
            yield from super()._kgraph_children()
            return
        for name in dict.fromkeys((*self._kgraph.first, *self._kgraph.layers)):
            layer = self._kgraph.layers[name]
            if not isinstance(layer, InputLayer):
                yield name, layer

    def _kgraph_paths_of_values(self) -> Iterator[tuple[str, Variable]]:
        return named_weights(self)

    @property
    def layers(self) -> list[Layer]:
        """The layers in the order of the summary, input layers among them, operations not."""
        if self._kgraph.graph is None:
            return [layer for _, layer in super()._kgraph_children()]
        return [layer for layer in self._kgraph.layers.values() if not isinstance(layer, Operation)]

    @extra
    def operations(self) -> list[Layer]:
        """The layers of the graph, and what `kgraph.ops` and operators on tensors are there."""
        return list(self._kgraph.layers.values())

    get_layer = finding.get_layer

    # --- graph and tensors -----------------------------------------------------------------------

    @extra
    def graph(self) -> Graph | None:
        """The model as immutable data; None for one that is defined by code."""
        return self._kgraph.graph

    @extra
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic inputs, flat."""
        return list(leaves(self._kgraph.symbols[0]))

    @extra
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic outputs, flat."""
        return list(leaves(self._kgraph.symbols[1]))

    @property
    def input(self) -> Any:
        """The symbolic inputs, in the structure in which they were given."""
        return self._kgraph.known_symbols(self)[0]

    @property
    def output(self) -> Any:
        """The symbolic outputs, in the structure in which they were given."""
        return self._kgraph.known_symbols(self)[1]

    @extra
    def input_names(self) -> list[str]:
        """The keys under which inputs are fed."""
        return list(_graph(self).input_names)

    @extra
    def output_names(self) -> list[str]:
        """The keys of outputs in losses, metrics and targets."""
        return list(_graph(self).output_names)

    @extra
    def input_shape(self) -> Shape | Any:
        """Shape of the input (None for unknown sizes), or a structure of shapes."""
        return _shapes(self._kgraph.known_symbols(self)[0])

    @extra
    def output_shape(self) -> Shape | Any:
        """Shape of the output (None for unknown sizes), or a structure of shapes."""
        return _shapes(self._kgraph.known_symbols(self)[1])

    variables_for = variables.variables_for
    assign = variables.assign

    # --- training --------------------------------------------------------------------------------

    compile = compiling.compile
    fit = fitting.fit
    train_on_batch = fitting.train_on_batch
    evaluate = evaluating.evaluate
    test_on_batch = evaluating.evaluate_on_batch
    predict = evaluating.predict
    predict_on_batch = evaluating.predict_on_batch

    compute_loss = stepping.compute_loss
    train_step = stepping.train_step
    test_step = stepping.test_step
    predict_step = stepping.predict_step
    compute_loss_and_updates = stepping.compute_loss_and_updates
    stateless_compute_loss = stepping.stateless_compute_loss
    compute_metrics = stepping.compute_metrics

    @property
    def metrics(self) -> list[Metric]:
        """The metrics: of the loss and of `compile`, then those in attributes and in layers."""
        meters = self._kgraph.trainer.meters
        return [*(meters.metrics if meters else ()), *metrics_held(self, Model)]

    @property
    def metrics_names(self) -> list[str]:
        """The names of `metrics`."""
        return [metric.name for metric in self.metrics]

    @property
    def metrics_variables(self) -> list[Variable]:
        """The variables of `metrics`."""
        return [variable for metric in self.metrics for variable in metric.variables]

    get_metrics_result = stepping.get_metrics_result
    reset_metrics = stepping.reset_metrics

    @extra
    def loss(self) -> LossesLike | None:
        """What `compile` was given as loss."""
        options = self._kgraph.trainer.options
        return None if options is None else options.loss

    @extra
    def compiled(self) -> bool:
        """Whether `compile` has been called."""
        return self._kgraph.trainer.options is not None

    get_compile_config = compiling.get_compile_config
    compile_from_config = compiling.compile_from_config
    compile_report = compiling.compile_report

    cost = costing.cost
    memory = costing.memory
    max_batch_size = costing.max_batch_size
    forecast = forecasting.forecast
    find_learning_rate = learning_rate.find_learning_rate
    use_executable = forecasting.use_executable

    get_state_tree = state_tree.get_state_tree
    set_state_tree = state_tree.set_state_tree

    # --- description -----------------------------------------------------------------------------

    summary = display.summary
    plot = display.plot
    to_mermaid = display.to_mermaid
    _repr_html_ = display.html

    def get_config(self) -> dict[str, Any]:
        """Returns the model as plain data: of a functional one layers, options and calls."""
        core = self._kgraph
        if core.graph is None or not self._kgraph_is_plain:
            return super().get_config()
        config = {"name": self.name, "trainable": core.trainable}
        return config | graph_to_config(core.graph, core.layers)

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: CustomObjects | None = None
    ) -> Any:
        """Makes a model, with fresh weights, from what `get_config` returned."""
        if "input_layers" in config:
            return saving.functional_from_keras(cls, config, custom_objects)
        if "nodes" not in config:
            return super().from_config(config)
        check_option_types(Layer, {k: config[k] for k in ("name", "trainable") if k in config})
        model = cls(*graph_from_config(config, custom_objects), name=config.get("name"))
        names, wanted = list(_graph(model).input_names), list(config["input_names"])
        if names != wanted:
            raise GraphError(
                "The rebuilt model has other inputs than the config",
                expected=wanted, received=names, hint=nearest(names[0], wanted),
            )  # fmt: skip
        model._kgraph.trainable = config.get("trainable", True)
        return model

    # --- files and copies ------------------------------------------------------------------------

    to_json = files.to_json
    save = files.save
    save_weights = files.save_weights
    load_weights = files.load_weights
    export = files.export

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return copies.pickled(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copies.deep_copy(self, memo)


Function = Model
"""In Keras a graph without training; a Model that nobody compiles is the same."""


def _graph(model: Model) -> Graph:
    return model._kgraph.graph or model._kgraph.programs.known_live.graph


def _shapes(symbols: Tree) -> Any:
    return map_structure(lambda symbol: symbol.shape, single(symbols))


def _input_like(symbol: SymbolicTensor) -> SymbolicTensor:
    """Returns a new input with the spec of a tensor at which a graph is cut."""
    return InputLayer(dims=symbol.spec.dims, dtype=symbol.dtype).make_symbol()
