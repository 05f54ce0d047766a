"""Lowers a model: runs the passes over its graph and joins the result with the live layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kgraph.compiler.pipeline import DEFAULT_PASSES, Pass, run_passes
from kgraph.compiler.program import Program
from kgraph.errors import GraphError
from kgraph.graph.graph import Graph
from kgraph.graph.node import INPUT_CLASS, LayerSpec
from kgraph.layers.base.layer import Layer
from kgraph.registry import restore


def lower(model: Any, passes: Sequence[Pass] | None = None) -> Program:
    """Returns the program of a model: `init` and `apply` as pure functions.

    Args:
        model: a functional or Sequential model; or a subclassed one that has been called once.
        passes: what to run over the graph, `DEFAULT_PASSES` by default.

    Raises:
        GraphError: the model has no graph yet.
    """
    graph = getattr(model, "lowering_graph", None)
    if graph is None:
        raise GraphError(
            f"{getattr(model, 'label', repr(model))} has no graph to lower",
            expected="a model made of inputs and outputs, or one that has been called on data",
            hint="call it once: model(x), or build it with kgraph.Model(inputs, outputs)",
        )
    return lower_graph(graph, model.lowering_layers, passes, model.lowering_root)


def lower_graph(
    graph: Graph,
    layers: dict[str, Layer],
    passes: Sequence[Pass] | None = None,
    root: str = "",
) -> Program:
    """Returns the program of a graph whose layer names stand for `layers`."""
    history = run_passes(graph, DEFAULT_PASSES if passes is None else passes)
    final = history[-1][1]
    originals: dict[str, tuple[LayerSpec, Layer]] = {}
    _collect(graph, layers, "", originals)
    live = {
        name: _live_layer(name, spec, originals)
        for name, spec in final.layers.items()
        if spec.class_name != INPUT_CLASS
    }
    owners = {
        name: layers[name] for name, spec in graph.layers.items() if spec.class_name != INPUT_CLASS
    }
    return Program(history, live, owners, root)


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
