"""What a model has been lowered to: its graph, its programs, and how they run on arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from kgraph.compiler import (
    DEFAULT_PASSES,
    INFERENCE_PASSES,
    Pass,
    Program,
    Variables,
    lower_graph,
    platform_passes,
)
from kgraph.compiler.executables import Jitted
from kgraph.compiler.inference import Inference
from kgraph.compiler.lower import LiveGraph, Remat, Stacking
from kgraph.distribution.current import distribution
from kgraph.errors import NotYetError, StateError
from kgraph.graph import Graph, freeze
from kgraph.graph.structure import leaves, map_structure
from kgraph.hooks import is_overridden
from kgraph.interrupts import tracing
from kgraph.layers.base import Layer
from kgraph.layers.base.between_blocks import between_blocks
from kgraph.layers.base.calling import eager_key, keep_mask, numbers_as_array
from kgraph.layers.base.core import label_of
from kgraph.layers.base.first_keys import FirstKeys, draws_values
from kgraph.layers.base.input_layer import first_input
from kgraph.layers.base.platform import platform
from kgraph.layers.base.stateless_scope import current_scope
from kgraph.layers.base.tree import children, named_weights, own_weights, parts_of
from kgraph.layers.base.variable import values_of
from kgraph.models.few_rows import FewRows, first_rows
from kgraph.models.remat_scopes import remat_of_layers, scoped_layers
from kgraph.training.pieces import LossInPieces
from kgraph.training.placement import Placement, on_one_device
from kgraph.types import Array, Params, Tree

if TYPE_CHECKING:
    from kgraph.distribution.base import Distribution
    from kgraph.models.model import Model


@dataclass(frozen=True)
class Lowering:
    """How a model is lowered where `compile` has a say; see there."""

    passes: tuple[Pass, ...] | None = None
    stack: Stacking = False
    remat: Remat | None = None
    distribution: Distribution | None = None
    loss_in_pieces: LossInPieces = "auto"


class Programs:
    """The programs of one model, each lowered again only when something in the model has changed.

    All of it can be made again, so that copies of a model do not take it with them.

    Args:
        model: what is lowered.

    Attributes:
        lowering: what `compile` was told about it.
        seen: what the model was last called on, as shapes; a model defined by code gets its graph
            from that.
        keys: what initial values and the first training are drawn by.
        on_leaving_devices: called when a distribution has ended and the weights leave its devices.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self.lowering, self.keys = Lowering(), FirstKeys()
        self.seen: Any = None
        self._trace: tuple[Any, LiveGraph] | None = None
        self._plain: tuple[Any, Program, Callable[..., Any]] | None = None
        self._inference: tuple[Any, Inference, Callable[..., Any], FewRows] | None = None
        self._placement: Placement | None = None
        self.on_leaving_devices: Callable[[], None] = lambda: None

    def copy_for(self, model: Model) -> Programs:
        """Returns the programs of a copy of the model, of which none is lowered yet."""
        twin = Programs(model)
        twin.lowering, twin.seen = self.lowering, self.seen
        return twin

    # --- what is lowered -------------------------------------------------------------------------

    @property
    def live(self) -> LiveGraph | None:
        """The graph to lower: the model's own, or one call of a model that is defined by code."""
        model = self._model
        graph = model._kgraph_inner_graph
        if graph is not None:
            return LiveGraph(graph, model._kgraph.layers, holder=model)
        with between_blocks:
            if self._trace is None and self.seen is not None:
                self.trace(self.seen)
            return self._trace[1] if self._trace else None

    @property
    def known_live(self) -> LiveGraph:
        """The same, for what needs a graph."""
        live = self.live
        if live is None:
            raise NotYetError(
                f"{label_of(self._model)} has no graph yet", hint="call it on data once"
            )
        return live

    @property
    def is_callable(self) -> bool:
        """Whether the model computes outputs of its own, by a graph or by code."""
        model = self._model
        return (
            model._kgraph.graph is not None
            or model._kgraph_is_sequential
            or is_overridden(model, "call")
        )

    @property
    def is_built(self) -> bool:
        """Whether all layers are built."""
        return all(part.built for part in parts_of(self._model))

    def trace(self, inputs: Tree) -> None:
        """Gives a model that has no graph yet one, from inputs like these arrays.

        Raises:
            ConfigError: there are rules of its distribution that nothing in it falls under.
        """
        model, compiled_for = self._model, self.lowering.distribution
        is_first = model._kgraph_inner_graph is None and self._trace is None
        self._trace_once(inputs)
        if is_first and compiled_for is not None:
            compiled_for.plan(model).refuse_unused()

    def _trace_once(self, inputs: Tree) -> None:
        model = self._model
        model._kgraph_connect(inputs)
        if model._kgraph_inner_graph is not None:
            return
        key = map_structure(lambda a: (len(a.shape), str(a.dtype)), inputs)
        if self._trace is not None and self._trace[0] == key:
            return
        names = {id(a): k for k, a in inputs.items()} if isinstance(inputs, dict) else {}

        def symbol(array: Any) -> Any:
            return first_input((None, *array.shape[1:]), str(array.dtype), names.get(id(array)))

        symbols = map_structure(symbol, inputs)
        frozen = freeze(symbols, model(symbols), lambda s: s)
        self._trace = (key, LiveGraph(frozen.graph, frozen.layers, model.name))
        self.claim(frozen.layers)
        self.forget()

    def claim(self, layers: Mapping[str, Layer]) -> None:
        """Has the weights of layers drawn by this model's keys, unless another model has them.

        So a value is the same whether the layer, the model or `fit` needs it first.
        """
        found = False
        for name, layer in layers.items():
            prefix = "" if layer is self._model else f"{name}/"
            for path, weight in named_weights(layer):
                if weight.origin is None:
                    weight.origin = self.keys, prefix + path
                    found = True
        if found and draws_values():
            self.keys.reserve()

    def state_key(self) -> Any:
        """Returns what decides how the model is lowered: its graph, and which weights train."""
        live = self.live
        return None if live is None else live.graph, tuple(_flags(self._model))

    def fingerprint(self) -> str:
        """Returns what tells this model from others: its graph or, without one, its weights."""
        live = self.live
        if live is not None:
            return live.graph.content_hash
        return " ".join(f"{path}{list(w.shape)}" for path, w in named_weights(self._model))

    def forget(self) -> None:
        """Lowers the model anew when it is next needed: its layers are others now."""
        self._plain = self._inference = None

    def bare(self) -> Program:
        """Returns a program of the weights alone, for steps of a model that has no graph.

        Raises:
            StateError: a layer is not built, so that weights are missing.
        """
        model = self._model
        for part in parts_of(model):
            if part is not model and not part.built:
                raise StateError(
                    f"{label_of(part)} in {label_of(model)} has no weights yet",
                    hint="build it, or call it once, before fit",
                )
        empty = Graph((), (), (), {}, (), ())
        return Program([("weights", empty)], {}, {model.name: model}, model.name)

    # --- lowered ---------------------------------------------------------------------------------

    def lower(
        self, usual: Sequence[Pass], appended: Sequence[Pass] = (), live: LiveGraph | None = None,
        **how: Any,
    ) -> Program:  # fmt: skip
        """Lowers the model for this machine and its devices, as `compile` wants it.

        Args:
            usual: the passes, unless `compile` was given others.
            appended: come after these, and after those that serve the platform.
            live: what is lowered, if that is known.
            how: `stack` and `remat` of `lower_graph`.
        """
        live, placement, passes = live or self.known_live, self.placement(), self.lowering.passes
        if passes is None:
            passes = (*usual, *platform_passes(platform()), *appended)
        if placement is None:
            return lower_graph(live, passes, **how)
        passes = (*passes, *placement.distribution.passes)
        program = lower_graph(live, passes, **how)
        if not placement.stacks_alike(program):
            remat = remat_of_layers(self.lowering.remat, label_of(self._model))
            program = lower_graph(live, passes, remat=remat)
        program.mesh, program.batch_axes = placement.mesh
        return program

    def plain(self) -> Program:
        """Returns the program that `kgraph.lower` gives, with no block stacked."""
        return self._plain_and_jitted(self.state_key())[0]

    def _plain_and_jitted(self, key: Any) -> tuple[Program, Callable[..., Any]]:
        with between_blocks:
            known = self._plain
            if known is None or known[0] != key:
                program = lower_graph(self.known_live, DEFAULT_PASSES)
                jitted = Jitted(partial(_run, program), ("training",))
                known = self._plain = key, program, jitted
            return known[1:]

    def training(self, appended: Sequence[Pass], live: LiveGraph | None = None) -> Program:
        """Returns a program to train; `appended` are the passes that its loss wants."""
        how = self.lowering
        remat = how.remat or scoped_layers(live or self.known_live)
        return self.lower(DEFAULT_PASSES, appended, live, stack=how.stack, remat=remat)

    def inference(self) -> Inference:
        """Returns the program that predicts, with its weights."""
        return self._inference_and_jitted(self.state_key())[0]

    def _inference_and_jitted(self, key: Any) -> tuple[Inference, Callable[..., Any], FewRows]:
        with between_blocks:
            known = self._inference
            key = (*key, self.lowering.passes, self.placement())
            if known is None or known[0] != key:
                made = Inference(self.lower(INFERENCE_PASSES))
                jitted = Jitted(partial(_run, made.program))
                known = self._inference = key, made, jitted, FewRows(made.program)
            self.create_values(known[1].program)
            return known[1:]

    def forget_folded(self) -> None:
        """Frees the weights that inference has made of the model's: those are about to change."""
        if self._inference is not None:
            self._inference[1].forget()

    # --- weights ---------------------------------------------------------------------------------

    def placement(self) -> Placement | None:
        """Returns where arrays lie on several devices: as `compile` said, or what is in force."""
        wanted = self.lowering.distribution or distribution()
        if wanted is None:
            return None
        if self._placement is None or self._placement.distribution is not wanted:
            self._placement = Placement(wanted)
        return self._placement

    def variables(self, program: Program) -> Variables:
        """Returns the weights as the program's variables; those without a value get one now."""
        self.create_values(program)
        weights = [place.weight for place in program.weights.places]
        return program.weights.layout.nest(dict(zip(map(id, weights), values_of(weights))))

    def create_values(self, program: Program) -> None:
        """Gives values to the weights that have none, and brings all to where they have to lie."""
        placement = self.placement()
        if placement is not None:
            placement.create(program)
            return
        if self._placement is not None:
            self._leave_devices(program)
        program.weights.create_values()

    def _leave_devices(self, program: Program) -> None:
        """Brings back to one device what a distribution that has ended had spread."""
        with jax.ensure_compile_time_eval():
            for place in program.weights.places:
                if place.weight.has_value and place.weight.owner is None:
                    place.weight.assign(on_one_device(place.weight.value))
        self._placement = None
        self.on_leaving_devices()

    # --- calls on arrays -------------------------------------------------------------------------

    def saw(self, inputs: Tree) -> None:
        """Takes note of what the model was called on."""
        self.seen = map_structure(_spec_of_array, numbers_as_array(inputs))

    @tracing
    def call(self, inputs: Tree, training: bool | None = None, mask: None = None) -> Any:
        """Runs the model on arrays; state that changes is kept."""
        inputs = map_structure(_to_jax, numbers_as_array(inputs))
        placement = self.placement()
        if placement is not None:
            inputs = placement.inputs(inputs)
        state_key = self.state_key()  # walks the model: once for both
        program, run = self._plain_and_jitted(state_key)
        # Folded weights are kept from call to call, which those of a scope must not be.
        plain = program.assigns_state or program.adds_losses
        if not training and not plain and current_scope() is None:
            inference, infer, few_rows = self._inference_and_jitted(state_key)
            key = eager_key() if inference.program.draws_always else None
            inputs, rows = few_rows.padded(inputs)
            outputs, _, _, masks = infer(inference.variables(), inputs, key=key)
            if rows is not None:
                outputs, masks = first_rows((outputs, masks), rows)
            return _masked(outputs, masks)
        key = eager_key() if training or program.draws_always else None
        outputs, state, losses, masks = run(
            self.variables(program), inputs, training=bool(training), key=key
        )
        self._model._kgraph.losses = losses
        if training or not any(isinstance(item, Tracer) for item in leaves(state)):
            self._keep(program, state)
        return _masked(outputs, masks)

    def _keep(self, program: Program, state: Params) -> None:
        traced = any(isinstance(item, Tracer) for item in leaves(state))
        if traced and current_scope() is None:
            raise StateError(
                f"{label_of(self._model)} updates its state inside a function that JAX is tracing",
                hint="use kgraph.lower(model).apply, which returns the new state",
            )
        values = program.weights.layout.by_weight({"state": state}, ("state",))
        with between_blocks:
            for place in program.weights.places:
                if place.collection == "state":
                    place.weight.assign(values[id(place.weight)])


def _run(
    program: Program,
    variables: Variables,
    inputs: Any,
    training: bool = False,
    key: Array | None = None,
) -> tuple[Any, Any, list[Array], list[Array | None]]:
    """Returns the outputs as users get them, the new state, losses, and masks of the outputs."""
    run = program.run(variables, inputs, training, key)
    return program.filled(run), run.state, run.losses, run.masks


def _masked(outputs: Tree, masks: Sequence[Array | None]) -> Tree:
    for output, mask in zip(leaves(outputs), masks):
        keep_mask(output, mask)
    return outputs


def _flags(layer: Layer) -> Iterator[bool]:
    """Yields which layers and weights, of a layer and all inside it, are trainable."""
    yield layer._kgraph.trainable
    yield from (weight.trainable for weight in own_weights(layer))
    for _, child in children(layer):
        yield from _flags(child)


def _spec_of_array(item: Any) -> Any:
    return jax.ShapeDtypeStruct(np.shape(item), item.dtype) if hasattr(item, "dtype") else item


def _to_jax(item: Any) -> Any:
    if isinstance(item, np.ndarray):  # `jnp.asarray` compiles for each shape
        return jax.device_put(item)
    return jnp.asarray(item) if hasattr(item, "__array__") or hasattr(item, "dtype") else item
