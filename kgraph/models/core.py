"""What kgraph keeps of a model, in its one attribute `_kgraph`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kgraph.compiler.inputs import arrange_inputs, conform
from kgraph.compiler.run import run_graph
from kgraph.errors import NotYetError
from kgraph.graph import Graph, SymbolicTensor
from kgraph.graph.structure import fill, leaves
from kgraph.layers.base import Layer
from kgraph.layers.base.binding import bind
from kgraph.layers.base.context import Context
from kgraph.layers.base.core import Core, label_of
from kgraph.types import Tree

if TYPE_CHECKING:
    from kgraph.models.programs import Programs
    from kgraph.models.trainer import Trainer


@dataclass(eq=False)
class ModelCore(Core):
    """What is kept of a model beside what is kept of every layer.

    Fields:
        graph: of a functional model; None for one that is defined by code.
        layers: those that the names in `graph` stand for.
        first: names of those that attributes held before: their weights come first, as in Keras.
        symbols: its inputs and outputs, in the structure in which they were given.
        stacked: the layers of a Sequential, in order.
        entry: the symbol that a Sequential was given as its Input.
        programs: what the model has been lowered to.
        trainer: how it is trained, and how far.
    """

    graph: Graph | None = None
    layers: dict[str, Layer] = field(default_factory=dict)
    first: tuple[str, ...] = ()
    symbols: tuple[Any, Any] = ((), ())
    stacked: list[Layer] = field(default_factory=list)
    entry: SymbolicTensor | None = None
    programs: Programs = field(init=False)
    trainer: Trainer = field(init=False)

    def bound(self, origin: Any, context: Context, segment: str) -> ModelCore:
        """Returns the record of a copy that runs in `context`, with its layers bound as well."""
        twin = super().bound(origin, context, segment)
        assert isinstance(twin, ModelCore)
        twin._bind_layers()
        return twin

    def follow_origin(self) -> None:
        """Takes over, in a bound copy, the graph that its model has got since."""
        core = self.origin._kgraph
        if self.graph is not core.graph:
            self.graph, self.layers, self.first = core.graph, core.layers, core.first
            self._bind_layers()

    def _bind_layers(self) -> None:
        context = self.context
        assert context is not None
        self.layers = {name: bind(layer, context, name) for name, layer in self.layers.items()}

    def run(self, graph: Graph, context: Context, inputs: Tree, mask: Tree) -> Any:
        """Runs the graph on arrays, in a bound copy; masks go in and out by the context."""
        arrays = arrange_inputs(graph, inputs)
        masks: list[Any] = [context.mask_of(array) for array in arrays]
        if mask is not None:
            masks = list(leaves(mask)) if isinstance(mask, (list, tuple, dict)) else [mask]
        arrays = conform(graph, arrays)
        for array, own in zip(arrays, masks):
            context.set_mask(array, own)
        masked = any(own is not None for own in masks)
        outputs, out_masks = run_graph(graph, self.layers, arrays, context, masked)
        for output, own in zip(outputs, out_masks):
            context.set_mask(output, own)
        return fill(graph.result_structure, outputs)

    def known_symbols(self, model: Layer) -> tuple[Any, Any]:
        """Returns the symbols of inputs and outputs; `model` is named in the error."""
        if self.graph is None:
            raise NotYetError(
                f"{label_of(model)} is not a functional model and has no symbolic tensors of its "
                "own",
                hint="make it of tensors: Model(inputs, outputs)",
            )
        return self.symbols

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what belongs to this very model, and can be made again for another."""
        state = super().__getstate__()
        return {name: state[name] for name in state if name not in ("programs", "trainer")}
