"""Lowers a model: runs the passes over its graph and joins the result with the live layers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from kgraph.compiler.changed import without_changed
from kgraph.compiler.folded import Fold
from kgraph.compiler.layer_signatures import has_foreign_code, layer_signatures
from kgraph.compiler.passes import (
    DEFAULT_PASSES,
    INFERENCE_ONLY,
    INFERENCE_PASSES,
    Pass,
    remat_layers,
    stack_blocks,
)
from kgraph.compiler.pipeline import run_pass, run_passes
from kgraph.compiler.primitives import loops_over
from kgraph.compiler.program import Program, flat_graph
from kgraph.compiler.stacked import checkpoint_policy
from kgraph.errors import ConfigError, GraphError
from kgraph.graph.fold import FoldPlan
from kgraph.graph.graph import Graph
from kgraph.graph.node import LayerSpec
from kgraph.layers.base.core import label_of
from kgraph.layers.base.layer import Layer
from kgraph.layers.base.platform import platform
from kgraph.layers.base.tree import parts_of
from kgraph.layers.base.variant import variant
from kgraph.registry import restore
from kgraph.tracebacks import entry

if TYPE_CHECKING:
    from kgraph.models.model import Model


Stacking: TypeAlias = bool | Literal["auto"]
"""Whether repeated blocks are computed by one body: never, always, or where that pays."""

Remat: TypeAlias = str | Sequence[str] | Mapping[str, str]
"""What is computed again in the backward pass: stacked blocks, or layers by name."""


@dataclass(frozen=True)
class LiveGraph:
    """A graph with the layers that its names stand for: what is lowered.

    Fields:
        graph: the model's own; of a model that is defined by code, one call of it.
        layers: the layers that the names in `graph` stand for.
        root: name of the one layer whose weights need no prefix, of a model defined by code.
        is_current: whether the graph says what the layers are now.
        holder: the model whose attributes may hold weights besides those of its layers.
    """

    graph: Graph
    layers: Mapping[str, Layer]
    root: str = ""
    is_current: bool = False
    holder: Layer | None = None

    def current(self) -> LiveGraph:
        """Returns it with what its layers are now; see `without_changed`."""
        if self.is_current:
            return self
        return replace(self, graph=without_changed(self.graph, self.layers), is_current=True)


_LEAST_BLOCKS = 4
_LEAST_SAVED = 32
"""For "auto": fewer blocks, or fewer nodes saved, compile fast enough one by one."""


@entry
def lower(
    model: Model,
    passes: Sequence[Pass] | None = None,
    stack: Stacking | None = None,
    remat: Remat | None = None,
    inference: bool = False,
) -> Program:
    """Returns the program of a model: `init` and `apply` as pure functions.

    Args:
        model: a functional or Sequential model; or a subclassed one that has been called once.
        passes: what to run over the graph, `DEFAULT_PASSES` by default.
        stack: whether repeated blocks are computed by one body in `jax.lax.scan`, so that the time
            to compile does not grow with their number. True stacks every two blocks that are the
            same, "auto" (the default, unless `passes` are given) at least 4 that save at least 32
            nodes, and on TPUs and GPUs only with `remat`: steps take longer there when stacked.
            On a CPU, where XLA runs convolutions slowly inside loops, blocks with convolutions are
            stacked only by True after the pass `use_cpu_forms`. Numbers are the same up to
            rounding, random ones exactly.
        remat: "blocks" recomputes the inner tensors of stacked blocks in the backward pass, for
            memory of one block in the place of all; "offload" does so too, and what enters a block
            waits in the host's memory; or the name of a policy of `jax.checkpoint`, such as
            "dots_saveable". Or names of single layers and nested models to recompute, as a
            list, or as a dict with a policy for each. Layers named here are not stacked.
        inference: whether to run `INFERENCE_PASSES`, for a program that only predicts: what acts
            in training alone is dropped, and BatchNormalization becomes part of the weights of the
            layer before it. `program.fold(variables)` makes those weights, once for many calls.

    Raises:
        GraphError: the model has no graph yet, `remat` found no repeated blocks, or names a layer
            that is not there.
        ConfigError: an option has a value it cannot have.
    """
    live = getattr(model, "_kgraph_live", None)
    if live is None:
        name = label_of(model) if isinstance(model, Layer) else repr(model)
        raise GraphError(
            f"{name} has no graph to lower",
            expected="a model made of inputs and outputs, or one that has been called on data",
            hint="call it once: model(x), or build it with kgraph.Model(inputs, outputs)",
        )
    if inference and passes is not None:
        raise ConfigError(
            "Either `passes` or `inference` says which passes run",
            hint="passes=(*kgraph.compiler.INFERENCE_PASSES, ...)",
        )
    if stack is None:
        stack = "auto" if passes is None else False
    return lower_graph(live, INFERENCE_PASSES if inference else passes, stack, remat)


def is_model(layer: Layer) -> bool:
    """Tells whether a layer is a model. (By its hook: models are above this part.)"""
    return hasattr(type(layer), "_kgraph_live")


def graph_of(model: Model) -> Graph | None:
    """Returns the graph that a model is lowered from; None if it has none yet."""
    live: LiveGraph | None = model._kgraph_live
    return None if live is None else _with_adapters(live.graph, live.layers)


def _with_adapters(graph: Graph, layers: Mapping[str, Layer]) -> Graph:
    """Returns a graph with what `enable_lora` has added to its layers since it was frozen."""
    changed: dict[str, LayerSpec] = {}
    for name, layer in layers.items():
        if any(part._kgraph.adapted is not None for part in parts_of(layer)):
            spec = layer._kgraph_spec()
            inner: Any = layer
            changed[name] = replace(spec, graph=graph_of(inner)) if spec.graph else spec
    return replace(graph, layers={**graph.layers, **changed}) if changed else graph


def lower_graph(
    live: LiveGraph,
    passes: Sequence[Pass] | None = None,
    stack: Stacking = False,
    remat: Remat | None = None,
) -> Program:
    """Returns the program of a graph."""
    check_stacking(stack, remat)
    layers, root, graph = live.layers, live.root, live.current().graph
    passes = DEFAULT_PASSES if passes is None else passes
    if remat is not None and not isinstance(remat, str):
        passes, remat = (*passes, remat_layers(_policies(remat))), None
    history = run_passes(graph, passes)
    originals: dict[str, tuple[LayerSpec, Layer]] = {}
    _collect(graph, layers, "", originals)
    specs = {**flat_graph(history).layers, **history[-1][1].layers}
    folds = _folds(specs, originals)
    lowered = {
        name: folds[name].layer if name in folds else _live_layer(name, spec, originals)
        for name, spec in specs.items()
        if not spec.is_input and not spec.is_stack
    }
    owners = {name: layers[name] for name, spec in graph.layers.items() if not spec.is_input}
    inference = any(pass_ in INFERENCE_ONLY for pass_ in passes)
    make = partial(Program, history, lowered, owners, root, folds, inference, live.holder)
    plain = make()
    # Six blocks of a decoder take a TPU 45.9 million cycles and 2,492 MiB when stacked, one by one
    # 23.5 and 963, and compile as long: there "auto" stacks only what is computed again.
    if stack is False or (stack == "auto" and remat is None and platform() != "cpu"):
        return plain
    trained = {id(place.weight): place.trained for place in plain.weights.places}
    least, saves = (2, 0) if stack is True else (_LEAST_BLOCKS, 0 if remat else _LEAST_SAVED)
    suited = _convolutions_to_stack(plain, stack is True)
    as_made = {name for name, spec in plain.graph.layers.items() if spec.own}
    signatures = layer_signatures(lowered, trained, suited, as_made)
    stacking = stack_blocks(signatures, least, saves, remat)
    history.append(run_pass(plain.graph, stacking))
    program = make()
    if remat is not None and all(s.plan.count == 1 for s in program.stacks.values()):
        raise GraphError(
            "The model has no repeated blocks, so there is nothing to rematerialise",
            hint="leave out remat; blocks are the same if classes, options and wiring are",
        )
    return plain if program.stacks and _loops_badly(program) else program


def _convolutions_to_stack(plain: Program, stack: bool) -> Collection[str]:
    """Returns the names of layers that may be stacked although they are convolutions.

    On a CPU only where it is asked for: a step of 24 stacked blocks takes it 1.2 x as long.
    """
    if platform() == "cpu":
        return {node.layer for node in plain.graph.nodes if node.lowering and stack}
    return plain.graph.layers


def check_stacking(stack: object, remat: Any) -> None:
    """Raises ConfigError for values that the options `stack` and `remat` cannot have."""
    if stack not in ("auto", True, False) or not isinstance(stack, (bool, str)):
        raise ConfigError('stack is True, False or "auto"', received=repr(stack))
    for policy in _policies(remat).values():
        checkpoint_policy(policy)
    if stack is False and isinstance(remat, str):
        raise ConfigError(
            "Only stacked blocks can be rematerialised", hint='leave out stack, or pass "auto"'
        )


def _policies(remat: Remat | None) -> dict[str, str]:
    """Returns the policy for each layer, or under "" the one for stacked blocks."""
    if remat is None or isinstance(remat, str):
        return {} if remat is None else {"": remat}
    if isinstance(remat, Mapping):
        return dict(remat)
    return dict.fromkeys(remat, "nothing_saveable")


def _loops_badly(program: Program) -> bool:
    """Tells whether stacked blocks run convolutions, of foreign code, where a loop is slow."""
    foreign = any(
        has_foreign_code(program.layers[name])
        for stack in program.stacks.values()
        for name in stack.layers
        if stack.plan.count > 1
    )
    if not foreign or platform() != "cpu":
        return False
    return loops_over(program.jaxpr(), "conv_general_dilated")


def _collect(
    graph: Graph,
    layers: Mapping[str, Layer],
    prefix: str,
    found: dict[str, tuple[LayerSpec, Layer]],
) -> None:
    for name, spec in graph.layers.items():
        found[prefix + name] = (spec, layers[name])
        if spec.graph is not None:
            inner: Any = layers[name]
            _collect(spec.graph, inner._kgraph.layers, f"{prefix}{name}/", found)


def _folds(
    specs: Mapping[str, LayerSpec], originals: Mapping[str, tuple[LayerSpec, Layer]]
) -> dict[str, Fold]:
    """Returns the live folded layers by name."""
    found = {}
    for name, spec in specs.items():
        if spec.is_folded:
            plan = FoldPlan.of(spec)
            found[name] = Fold(spec, originals[plan.layer][1], originals[plan.norm][1])
    return found


def _live_layer(name: str, spec: LayerSpec, originals: dict[str, tuple[LayerSpec, Layer]]) -> Layer:
    """Returns the layer object for a description: the model's own, a variant, or a new one."""
    if spec.is_factors:
        return originals[spec.config["layer"]][1]
    if name not in originals:
        description = {"kind": "layer", "class_name": spec.class_name, "config": spec.config}
        return restore(description)
    known, layer = originals[name]
    return layer if spec == known else variant(layer, spec.config)
