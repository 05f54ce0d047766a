"""Lowers a model: runs the passes over its graph and joins the result with the live layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import jax

from kgraph.compiler.facts import has_foreign_code, stacking_facts
from kgraph.compiler.passes import stack_blocks
from kgraph.compiler.pipeline import DEFAULT_PASSES, Pass, run_passes
from kgraph.compiler.primitives import loops_over
from kgraph.compiler.program import Program, flat_graph
from kgraph.compiler.stacked import checkpoint_policy
from kgraph.errors import ConfigError, GraphError
from kgraph.graph.graph import Graph
from kgraph.graph.node import INPUT_CLASS, LayerSpec
from kgraph.layers.base.layer import Layer
from kgraph.registry import restore

Stacking: TypeAlias = bool | Literal["auto"]
"""Whether repeated blocks are computed by one body: never, always, or where that pays."""

_LEAST_BLOCKS = 4
_LEAST_SAVED = 32
"""For "auto": fewer blocks, or fewer nodes saved, compile fast enough one by one."""


def lower(
    model: Any,
    passes: Sequence[Pass] | None = None,
    stack: Stacking | None = None,
    remat: str | None = None,
) -> Program:
    """Returns the program of a model: `init` and `apply` as pure functions.

    Args:
        model: a functional or Sequential model; or a subclassed one that has been called once.
        passes: what to run over the graph, `DEFAULT_PASSES` by default.
        stack: whether repeated blocks are computed by one body in `jax.lax.scan`, so that the time
            to compile does not grow with their number. True stacks every two blocks that are the
            same, "auto" (the default, unless `passes` are given) at least 4 that save at least 32
            nodes. Blocks with convolutions are never stacked on a CPU, where XLA runs them slowly
            inside loops. Numbers are the same up to rounding, random ones exactly.
        remat: "blocks" recomputes the inner tensors of stacked blocks in the backward pass, for
            memory of one block in the place of all; or the name of a policy of `jax.checkpoint`,
            such as "dots_saveable".

    Raises:
        GraphError: the model has no graph yet, or `remat` found no repeated blocks.
        ConfigError: an option has a value it cannot have.
    """
    graph = getattr(model, "lowering_graph", None)
    if graph is None:
        raise GraphError(
            f"{getattr(model, 'label', repr(model))} has no graph to lower",
            expected="a model made of inputs and outputs, or one that has been called on data",
            hint="call it once: model(x), or build it with kgraph.Model(inputs, outputs)",
        )
    if stack is None:
        stack = "auto" if passes is None else False
    return lower_graph(graph, model.lowering_layers, passes, model.lowering_root, stack, remat)


def lower_graph(
    graph: Graph,
    layers: dict[str, Layer],
    passes: Sequence[Pass] | None = None,
    root: str = "",
    stack: Stacking = False,
    remat: str | None = None,
) -> Program:
    """Returns the program of a graph whose layer names stand for `layers`."""
    check_stacking(stack, remat)
    history = run_passes(graph, DEFAULT_PASSES if passes is None else passes)
    originals: dict[str, tuple[LayerSpec, Layer]] = {}
    _collect(graph, layers, "", originals)
    specs = {**flat_graph(history).layers, **history[-1][1].layers}
    live = {
        name: _live_layer(name, spec, originals)
        for name, spec in specs.items()
        if spec.class_name != INPUT_CLASS and not spec.is_stack
    }
    owners = {
        name: layers[name] for name, spec in graph.layers.items() if spec.class_name != INPUT_CLASS
    }
    plain = Program(history, live, owners, root)
    if stack is False:
        return plain
    trained = {id(place.weight): place.trained for place in plain.places}
    least, saves = (2, 0) if stack is True else (_LEAST_BLOCKS, 0 if remat else _LEAST_SAVED)
    stacking = stack_blocks(stacking_facts(live, trained), least, saves, remat)
    after = run_passes(plain.graph, (stacking,))
    program = Program([*history, *after[1:]], live, owners, root)
    if remat is not None and not program.stacks:
        raise GraphError(
            "The model has no repeated blocks, so there is nothing to rematerialise",
            hint="leave out remat; blocks are the same if classes, options and wiring are",
        )
    return plain if program.stacks and _loops_badly(program) else program


def check_stacking(stack: Any, remat: Any) -> None:
    """Raises ConfigError for values that the options `stack` and `remat` cannot have."""
    if stack not in ("auto", True, False) or not isinstance(stack, (bool, str)):
        raise ConfigError('stack is True, False or "auto"', received=repr(stack))
    checkpoint_policy(remat)
    if stack is False and remat is not None:
        raise ConfigError(
            "Only stacked blocks can be rematerialised", hint='leave out stack, or pass "auto"'
        )


def _loops_badly(program: Program) -> bool:
    """Tells whether stacked blocks run convolutions, of foreign code, where a loop is slow."""
    foreign = any(
        has_foreign_code(program.layers[name])
        for stack in program.stacks.values()
        for name in stack.layers
    )
    if not foreign or jax.default_backend() != "cpu":
        return False
    return loops_over(program.jaxpr(), "conv_general_dilated")


def _collect(
    graph: Graph, layers: dict[str, Layer], prefix: str, found: dict[str, tuple[LayerSpec, Layer]]
) -> None:
    for name, spec in graph.layers.items():
        found[prefix + name] = (spec, layers[name])
        if spec.graph is not None:
            inner: Any = layers[name]
            _collect(spec.graph, inner.graph_layers, f"{prefix}{name}/", found)


def _live_layer(name: str, spec: LayerSpec, originals: dict[str, tuple[LayerSpec, Layer]]) -> Layer:
    """Returns the layer object for a description: the model's own, a variant, or a new one."""
    if name not in originals:
        description = {"kind": "layer", "class_name": spec.class_name, "config": spec.config}
        return restore(description)
    known, layer = originals[name]
    return layer if spec == known else layer.variant(spec.config)
