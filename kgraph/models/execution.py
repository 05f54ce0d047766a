"""Running a model on arrays: its program, its weights as variables, and calls outside training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from kgraph.compiler import INFERENCE_PASSES, Pass, Program, lower_graph, platform_passes
from kgraph.compiler.inference import Inference
from kgraph.distribution.current import distribution
from kgraph.errors import StateError
from kgraph.graph import Graph, freeze
from kgraph.graph.structure import leaves, map_structure
from kgraph.layers.base import Layer
from kgraph.layers.base.calling import eager_key, has_symbols, numbers_as_array
from kgraph.layers.base.core import label_of
from kgraph.layers.base.input_layer import InputLayer
from kgraph.layers.base.tree import children, named_weights
from kgraph.layers.base.variable import Variable
from kgraph.training.placement import Placement, on_one_device
from kgraph.types import Array, Tree

if TYPE_CHECKING:
    from kgraph.distribution.base import Distribution


class Execution(Layer):
    """The part of a model that lowers it and calls it on arrays."""

    _kgraph_unbound = Layer._kgraph_unbound | {
        "_compiler", "_distribution", "_engine", "_graph", "_inference", "_inference_key",
        "_inferring", "_jitted", "_placed", "_predictor", "_program", "_running", "_seen",
        "_symbols", "_traced", "_training", "history", "optimizer",
    }  # fmt: skip
    _program: Program | None = None
    _program_key: Any = None
    _jitted: Callable[..., Any] | None = None
    _passes: tuple[Pass, ...] | None = None
    _inference: Inference | None = None
    _inference_key: Any = None
    _inferring: Callable[..., Any] | None = None
    _traced: tuple[Any, Graph, dict[str, Layer]] | None = None
    _seen: Tree = None
    _distribution: Distribution | None = None
    _placed: Placement | None = None

    def _placement(self) -> Placement | None:
        """Returns where arrays lie on several devices: as `compile` said, or what is in force."""
        wanted = self._distribution or distribution()
        if wanted is None:
            return None
        if self._placed is None or self._placed.distribution is not wanted:
            vars(self)["_placed"] = Placement(wanted)
        return self._placed

    @property
    def lowering_graph(self) -> Graph | None:
        """The graph to lower: the model's own, or the one call of a subclassed model."""
        if self._kgraph_inner_graph is not None:
            return self._kgraph_inner_graph
        if self._traced is None and self._seen is not None:
            self.trace_for(self._seen)
        return self._traced[1] if self._traced else None

    @property
    def lowering_layers(self) -> dict[str, Layer]:
        """The layer objects that the names in `lowering_graph` stand for."""
        if self._kgraph_inner_graph is not None:
            return self.graph_layers  # type: ignore[attr-defined]
        return self._traced[2] if self._traced else {}

    @property
    def lowering_root(self) -> str:
        """Name of the one layer whose weights need no prefix, for a subclassed model."""
        return "" if self._kgraph_inner_graph is not None else self.name

    def trace_for(self, inputs: Tree) -> None:
        """Gives a subclassed model a graph: one call of it, on inputs like these arrays."""
        if self._kgraph_inner_graph is not None:
            return
        key = map_structure(lambda a: (tuple(a.shape[1:]), str(a.dtype)), inputs)
        if self._traced is not None and self._traced[0] == key:
            return
        names = {id(a): k for k, a in inputs.items()} if isinstance(inputs, dict) else {}

        def symbol(array: Any) -> Any:
            shape, dtype = tuple(array.shape[1:]), str(array.dtype)
            return InputLayer(shape, dtype=dtype, name=names.get(id(array))).make_symbol()

        symbols = map_structure(symbol, inputs)
        frozen = freeze(symbols, self(symbols), lambda s: s)
        vars(self)["_traced"] = (key, frozen.graph, frozen.layers)
        self._forget_programs()

    def program_for(self, inputs: Tree = None, passes: Sequence[Pass] | None = None) -> Program:
        """Returns the program of this model, lowered again only when something in it changed.

        Args:
            inputs: example arrays, from which a subclassed model gets its graph.
            passes: what to run, by default the standard pipeline.
        """
        if inputs is not None:
            self.trace_for(inputs)
        graph, flags = self._lowered_from()
        key = (graph, flags, tuple(passes) if passes is not None else None)
        if self._program is None or self._program_key != key:
            self._program = lower_graph(graph, self.lowering_layers, passes, self.lowering_root)
            self._program_key = key
            self._jitted = None
        return self._program

    def inference_for(self, inputs: Tree = None) -> Inference:
        """Returns the program that predicts, with its weights; see `program_for`.

        Its passes are `INFERENCE_PASSES`, or those that `compile` was given.
        """
        if inputs is not None:
            self.trace_for(inputs)
        graph, flags = self._lowered_from()
        passes = self._passes
        if passes is None:
            passes = (*INFERENCE_PASSES, *platform_passes(jax.default_backend()))
        placement = self._placement()
        if placement is not None:
            passes = (*passes, *placement.distribution.passes)
        key = (graph, flags, passes, placement)
        if self._inference is None or self._inference_key != key:
            layers, root = self.lowering_layers, self.lowering_root
            program = lower_graph(graph, layers, passes, root)
            if placement is not None:
                program.mesh = placement.distribution.device_mesh.backend_mesh
            self._inference = Inference(program)
            self._inference_key, self._inferring = key, None
        self._create_values(self._inference.program)
        return self._inference

    def _lowered_from(self) -> tuple[Graph, tuple[bool, ...]]:
        """Returns what decides how the model is lowered: its graph, and which weights train."""
        graph = self.lowering_graph
        if graph is None:
            raise StateError(f"{label_of(self)} has no graph yet", hint="call it on data once")
        return graph, tuple(freezing(self))

    def _forget_programs(self) -> None:
        """Lowers the model anew when it is next needed: its layers are others now."""
        self._program = self._inference = None

    def variables_of(self, program: Program) -> dict[str, Any]:
        """Returns the weights as the program's variables; those without a value get one now."""
        self._create_values(program)
        return program.nest({id(place.weight): place.weight.value for place in program.places})

    def _kgraph_paths_of_values(self) -> Iterator[tuple[str, Variable]]:
        return named_weights(self)

    def _create_values(self, program: Program) -> None:
        """Gives values to the weights that have none, and brings all to where they have to lie."""
        placement = self._placement()
        if placement is not None:
            placement.create(program)
        else:
            if self._placed is not None:
                self._leave_devices(program)
            program.create_values()

    def _leave_devices(self, program: Program) -> None:
        """Brings back to one device what a distribution that has ended had spread."""
        with jax.ensure_compile_time_eval():
            for place in program.places:
                if place.weight.has_value and not place.weight.is_lent:
                    place.weight.assign(on_one_device(place.weight.value))
        self._placed = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        functional = self._kgraph.context is None and self._kgraph_inner_graph is not None
        if not functional or has_symbols(args, kwargs) or kwargs.get("mask") is not None:
            outputs = super().__call__(*args, **kwargs)
            if self._kgraph.context is None and args and not has_symbols(args, kwargs):
                self._seen = map_structure(_spec_of_array, numbers_as_array(args[0]))
            return outputs
        return self._call_on_arrays(*args, **kwargs)

    def _call_on_arrays(
        self, inputs: Tree, training: bool | None = None, mask: None = None
    ) -> Tree:
        """Runs the compiled program on arrays; state that training changes is kept."""
        inputs = map_structure(_to_jax, numbers_as_array(inputs))
        placement = self._placement()
        if placement is not None:
            inputs = placement.inputs(inputs)
        if not training:
            inference = self.inference_for(inputs)
            infer = self._inferring = self._inferring or jax.jit(inference.program.apply)
            key = eager_key() if inference.program.draws_always else None
            return infer(inference.variables(), inputs, key=key)[0]
        program = self.program_for(inputs)
        train = self._jitted = self._jitted or jax.jit(partial(program.apply, training=True))
        outputs, state = train(self.variables_of(program), inputs, key=eager_key())
        self._keep(program, state)
        return outputs

    def _keep(self, program: Program, state: Tree) -> None:
        if any(isinstance(item, Tracer) for item in leaves(state)):
            raise StateError(
                f"{label_of(self)} updates its state inside a function that JAX is tracing",
                hint="use kgraph.lower(model).apply, which returns the new state",
            )
        values = program.by_weight({"state": state}, ("state",))
        for place in program.places:
            if place.collection == "state":
                place.weight.assign(values[id(place.weight)])

    def build(self, input_shape: Any) -> None:
        """Makes the weights of a subclassed model for inputs of this shape (with batch axis)."""
        if self._kgraph_inner_graph is None:
            self.compute_output_shape(input_shape)

    def _kgraph_ensure_built(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Builds the model for these call arguments; its layers are built by the call itself."""
        if type(self).build is Execution.build:
            self.built = True
        else:
            super()._kgraph_ensure_built(args, kwargs)


def freezing(layer: Layer) -> Iterator[bool]:
    """Yields which layers and weights, of a layer and all inside it, are trainable."""
    yield layer.trainable
    yield from (weight.trainable for weight in layer._kgraph.weights)
    for _, child in children(layer):
        yield from freezing(child)


def _spec_of_array(item: Any) -> Any:
    return jax.ShapeDtypeStruct(np.shape(item), item.dtype) if hasattr(item, "dtype") else item


def _to_jax(item: Any) -> Array:
    return jnp.asarray(item) if hasattr(item, "__array__") or hasattr(item, "dtype") else item
