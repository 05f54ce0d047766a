"""Program: a graph as pure functions, with parameters in a plain nested dictionary."""

from __future__ import annotations

import copy
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from kgraph.compiler.folded import Fold
from kgraph.compiler.inputs import arrange_inputs, conform
from kgraph.compiler.layer_signatures import draws_always
from kgraph.compiler.layout import Layout, Place, Variables
from kgraph.compiler.run import Observer, run_graph
from kgraph.compiler.stacked import Stack
from kgraph.compiler.variables import ProgramWeights
from kgraph.errors import ConfigError, StateError
from kgraph.graph.graph import Graph
from kgraph.graph.stack import stacks_in
from kgraph.graph.structure import fill
from kgraph.interrupts import tracing
from kgraph.layers.base import binding
from kgraph.layers.base.context import Context
from kgraph.layers.base.layer import Layer
from kgraph.layers.base.stateless import Ran, Runner
from kgraph.layers.base.tree import walk_held, walk_own_weights, walk_weights
from kgraph.layers.base.variable import Variable, initial_values
from kgraph.source import warn
from kgraph.tracebacks import entries
from kgraph.types import Array, Params, Tree


@dataclass(frozen=True)
class Run:
    """All that one run of a program gives.

    Fields:
        outputs: flat, in the order of `graph.outputs` (more than the model's if a pass added some).
        masks: mask of each output, or None.
        losses: terms that layers added to the loss.
        state: the new state, complete.
    """

    outputs: list[Array]
    masks: list[Array | None]
    losses: list[Array]
    state: Any


@entries
class Program:
    """A compiled model: `init` makes variables, `apply` computes. Holds no arrays.

    Made by `kgraph.lower`. Both are ordinary traceable functions, for `jax.jit`, `grad`, `vmap`,
    `scan` and the rest. Printing a program shows its graph after each pass.

    Attributes:
        graph: the graph that runs.
        flat_graph: the same before repeated blocks were stacked: each call is a node.
        stacks: the repeated blocks that are computed by one body each.
        folds: the layers with a normalisation folded into them.
        inference: whether its passes hold outside of training alone.
        passes: name of each pass and the graph after it, the model's own first.
        input_names, output_names: the model's, in order.
        weights: where they stand in variables.
        draws_always, assigns_state: whether a key is needed, and state changed, when not in
            training.
        adds_losses: whether a layer adds a term to the loss.
        mesh: the devices that a graph with layouts is spread over; None for one device.
        batch_axes: those of its axes along which batches are spread.
    """

    mesh: Mesh | None = None
    batch_axes: tuple[str, ...] = ()

    def __init__(
        self,
        passes: Sequence[tuple[str, Graph]],
        layers: Mapping[str, Layer],
        owners: Mapping[str, Layer],
        root: str = "",
        folds: Mapping[str, Fold] | None = None,
        inference: bool = False,
        holder: Layer | None = None,
    ) -> None:
        self.passes = tuple(passes)
        self.folds, self.inference = dict(folds or {}), inference
        self.graph = self.passes[-1][1]
        self.flat_graph = flat_graph(self.passes)
        self.layers, self._owners, self._holder = dict(layers), dict(owners), holder
        stacks = stacks_in(self.graph).items()
        self.stacks = {name: Stack(name, spec, self.layers) for name, spec in stacks}
        self._root = root
        self.model_graph = self.passes[0][1]
        self.input_names = self.model_graph.input_names
        self.output_names = self.model_graph.output_names

    @cached_property
    def weights(self) -> ProgramWeights:
        """Where each weight stands in variables, in the order of the model's layers.

        The model decides this and no pass: variables are the same whatever passes have run.
        """
        found: dict[int, Place] = {}

        def take(walked: Iterable[tuple[str, Variable, bool]]) -> None:
            for path, weight, trained in walked:
                collection = "params" if weight.trainable else "state"
                place = Place(collection, tuple(path.split("/")), weight, trained)
                found.setdefault(id(weight), place)

        if self._holder is not None:
            take(walk_own_weights(self._holder))
        for name, layer in self._owners.items():
            prefix = "" if name == self._root else f"{name}/"
            take(walk_weights(layer, prefix))
            for path, variable in walk_held(layer, prefix):
                place = Place("state", tuple(path.split("/")), variable, False, held=True)
                found.setdefault(id(variable), place)
        return ProgramWeights(Layout(tuple(found.values())), self.layers, self.stacks, self.folds)

    @cached_property
    def draws_always(self) -> bool:
        """Whether a key is needed outside of training as well."""
        return draws_always(self.graph, self.layers)

    @cached_property
    def assigns_state(self) -> bool:
        """Whether a layer assigns state outside of training as well: one that counts, say."""
        if not _may_assign(self.model_graph):
            return False
        try:
            return self._changes_state()
        except (TypeError, ValueError):  # inputs of other sizes than it was tried with
            return True

    def _changes_state(self) -> bool:
        """Tells whether a run outside of training returns other state than it was given."""
        variables = self.weights.folded.specs if self.folds else self.specs()
        inputs = [_example(self.model_graph.spec(ref), 2) for ref in self.model_graph.inputs]
        key = jax.eval_shape(lambda: jax.random.key(0))

        def after(state: Params, params: Params, inputs: Sequence[Any], key: Array) -> Any:
            return self.run({"params": params, "state": state}, inputs, key=key).state

        traced = jax.make_jaxpr(after)(variables["state"], variables["params"], inputs, key).jaxpr
        given = traced.invars[: len(traced.outvars)]
        return any(after is not before for after, before in zip(traced.outvars, given))

    def training_only(self, weights: Container[int]) -> Program:
        """Returns the program that trains some of its weights (by identity) and no others."""
        twin = copy.copy(self)
        vars(twin).pop("trained", None)
        twin.weights = self.weights.training_only(weights)
        return twin

    @cached_property
    def adds_losses(self) -> bool:
        """Whether a layer adds a term to the loss."""
        return any("loss" in node.effects for node in self.model_graph.nodes)

    # --- the pure functions ----------------------------------------------------------------------

    def init(self, key: Array) -> Variables:
        """Returns fresh variables.

        Args:
            key: a JAX key. Each weight's numbers depend on it and on the weight's path alone.
        """
        layout = self.weights.layout
        named = [("/".join(place.path), place.weight) for place in layout.places]
        arrays = initial_values(named, key)
        return layout.nest(dict(zip((id(weight) for _, weight in named), arrays)))

    def apply(
        self,
        variables: Variables,
        inputs: Tree,
        training: bool = False,
        key: Array | None = None,
    ) -> tuple[Any, Any]:
        """Returns the outputs, in the model's structure, and the new state.

        Args:
            variables: `{"params": ..., "state": ...}` as `init` makes them.
            inputs: an array; a list or tuple in the order of the inputs; or a dict by input name.
            training: whether dropout, batch statistics and the like are on.
            key: a JAX key, needed where a layer draws random numbers.

        Raises:
            ConfigError: `training` is on, and the program is for inference.
            DataError: the inputs do not fit the model.
            StateError: the variables do not fit the model, or a key is missing.
        """
        run = self.run(variables, inputs, training, key)
        return self.filled(run), run.state

    def filled(self, run: Run) -> Tree:
        """Returns the outputs of a run in the structure in which the model returns them."""
        return fill(self.model_graph.result_structure, run.outputs)

    def run(
        self,
        variables: Variables,
        inputs: Tree,
        training: bool = False,
        key: Array | None = None,
        observe: Observer | None = None,
        kept: Array | None = None,
    ) -> Run:
        """Like `apply`, with masks and added losses, and the outputs flat.

        `observe(node, outputs)` is called for each node that was computed; repeated blocks are
        then not stacked, and the variables must not be packed. `kept` says which rows (`[rows]`
        bool) do not only pad a batch in training, to layers independent "by mask" (`Traits`).
        """
        if training and self.inference:
            raise self._no_training()
        graph = self.graph if observe is None else self.flat_graph
        arrays = arrange_inputs(self.model_graph, inputs)
        arrays = conform(self.model_graph, arrays)
        layout = self.weights.layout_of(variables)
        values = layout.by_weight(variables)
        layout.check_shapes(values)
        context = Context(self.weights.with_folded(values), training=training, key=key)
        context.mesh, context.kept = self.mesh, kept if training else None
        context.batch_axes = self.batch_axes
        called = dict.fromkeys(node.layer for node in graph.calls)
        bound: dict[str, Any] = {
            name: self.stacks[name] if name in self.stacks
            else binding.bind(self.layers[name], context, name)
            for name in called
        }  # fmt: skip
        outputs, masks = run_graph(graph, bound, arrays, context, observe=observe)
        after = {**context.values, **binding.updates(context)}
        if context.assigned:
            _check_assigned(layout.places, context.assigned)
        state = layout.nest(after, ("state",))["state"]
        return Run(outputs, masks, context.losses, state)

    def as_runner(self) -> Runner:
        """Returns the program as what `stateless_call` runs: on values by weight."""

        def call(values: dict[int, Any], inputs: Tree, training: bool, key: Array | None) -> Ran:
            layout = self.weights.layout
            run = self.run(layout.nest(values), inputs, training, key)
            outputs = fill(self.model_graph.output_structure, run.outputs[: len(self.output_names)])
            state = layout.by_weight({"state": run.state}, ("state",))
            masks = dict(zip(map(id, run.outputs), run.masks))
            return outputs, values | state, run.losses, lambda output: masks.get(id(output))

        return call

    def _no_training(self) -> ConfigError:
        return ConfigError(
            "A program for inference cannot run in training",
            expected="training=False",
            received=f"training=True, after the passes {', '.join(n for n, _ in self.passes[1:])}",
            hint="kgraph.lower(model) returns the program for both",
        )

    def specs(self) -> Variables:
        """Returns shape and dtype of each weight, nested as variables are."""
        return self.weights.layout.specs

    def fold(self, variables: Variables) -> Variables:
        """Returns variables in which normalisations are part of the weights of the layers before.

        A program for inference takes these as well as the model's own, and then folds nothing
        itself. There is no way back: weights that no layer reads any more are left out.

        Args:
            variables: the model's, `{"params": ..., "state": ...}`.
        """
        weights = self.weights
        return weights.folded.nest(weights.with_folded(weights.layout.by_weight(variables)))

    def pack(self, variables: Variables) -> Variables:
        """Returns variables in which the weights of repeated blocks are stacked.

        Every function of a program takes packed variables as well, and then stacks nothing itself:
        each step of a training saves a copy of the weights. `unpack` is the inverse.

        Args:
            variables: collections by name (`{"params": ..., "state": ...}`, or one of them): nested
                dicts with a leaf for each weight: its array, or something else of its shape, such
                as its moment in an optimizer.
        """
        return self.weights.pack(variables)

    def unpack(self, variables: Variables) -> Variables:
        """Returns packed variables with an array for each weight of each block again."""
        return self.weights.packed.unpack(variables)

    def penalties(self, params: Params) -> Array:
        """Returns the sum of the regularizers of the trained weights (float32 scalar)."""
        total = jnp.zeros((), jnp.float32)
        trained = self.weights.layout_of({"params": params}).trained
        values = trained.by_weight({"params": params})
        for weight in (place.weight for place in trained.places):
            if weight.regularizer is not None:
                total = total + weight.regularizer(values[id(weight)])
        return total

    def constrain(self, params: Params) -> Any:
        """Returns the parameters with each weight's constraint applied."""
        layout = self.weights.layout_of({"params": params})
        weights = [place.weight for place in layout.trained.places]
        if not any(weight.constraint for weight in weights):
            return params
        values = layout.by_weight({"params": params}, ("params",))
        for weight in weights:
            if weight.constraint is not None:
                values[id(weight)] = weight.constraint(values[id(weight)])
        return layout.nest(values, ("params",))["params"]

    @cached_property
    def trained(self) -> Any:
        """For each parameter, whether training changes it: a tree of bools like `params`."""
        layout = self.weights.layout
        flags = {id(place.weight): place.trained for place in layout.places}
        return layout.nest(flags, ("params",))["params"]

    @tracing
    def jaxpr(self, batch: int = 2, training: bool = False) -> Any:
        """Returns the jaxpr of `apply` for a batch of this size; unknown sizes count as 8."""
        variables = self.specs()
        inputs = [_example(self.model_graph.spec(ref), batch) for ref in self.model_graph.inputs]
        key = jax.eval_shape(lambda: jax.random.key(0))

        def function(variables: Variables, inputs: Tree, key: Array) -> Any:
            return self.apply(variables, inputs, training=training, key=key)

        return jax.make_jaxpr(function)(variables, inputs, key)

    def __str__(self) -> str:
        sections = []
        before: Graph | None = None
        for name, graph in self.passes:
            if before is not None and graph.content_hash == before.content_hash:
                sections.append(f"-- {name}: no change")
            else:
                sections.append(f"-- {name}: {len(graph.nodes)} nodes\n{graph}")
            before = graph
        return "\n".join(sections)

    def __repr__(self) -> str:
        names = ", ".join(name for name, _ in self.passes[1:])
        return f"<Program of {len(self.graph.nodes)} nodes after {names or 'no pass'}>"


def _may_assign(graph: Graph) -> bool:
    """Tells whether a layer may assign state outside of training; normalizations do not."""
    for node in graph.nodes:
        spec = graph.layers[node.layer]
        if "state" not in node.effects or (spec.own and spec.traits.normalization is not None):
            continue
        if not spec.own or spec.graph is None or _may_assign(spec.graph):
            return True
    return False


def flat_graph(passes: Sequence[tuple[str, Graph]]) -> Graph:
    """Returns the last graph in which no blocks are stacked."""
    return next(graph for _, graph in reversed(passes) if not stacks_in(graph))


def _example(spec: Any, batch: int) -> jax.ShapeDtypeStruct:
    sizes = [d if isinstance(d, int) else batch if i == 0 else 8 for i, d in enumerate(spec.dims)]
    return jax.ShapeDtypeStruct(tuple(sizes), jnp.dtype(spec.dtype))


def _check_assigned(places: Sequence[Place], assigned: Container[int]) -> None:
    """Says what becomes of parameters that a call assigns: a run returns new state alone."""
    for place in places:
        if place.collection != "params" or id(place.weight) not in assigned:
            continue
        if not place.trained:
            raise StateError(
                f"A call assigns the frozen parameter {place.weight.path!r}",
                expected="state: add_weight(..., trainable=False)",
                hint="of a frozen layer, make its weights state one by one: "
                "for w in layer.weights: w.trainable = False",
            )
        warn(
            f"{place.weight.path!r} is trained, so what a call assigns to it holds for this "
            "run only, as in Keras; state is add_weight(..., trainable=False)",
        )
