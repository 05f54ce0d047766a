"""Copies of models with fresh weights, and models from JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kgraph.errors import ConfigError
from kgraph.graph.graph import Graph
from kgraph.graph.node import INPUT_CLASS
from kgraph.graph.structure import fill, leaves
from kgraph.graph.symbol import SymbolicTensor
from kgraph.layers.base import InputLayer, Layer
from kgraph.layers.base.core import label_of
from kgraph.models.copies import classes_in
from kgraph.models.model import Model
from kgraph.models.sequential import Sequential
from kgraph.registry import custom_object_scope
from kgraph.tracebacks import entry
from kgraph.types import Tree


@entry
def clone_model(
    model: Model,
    input_tensors: Tree = None,
    clone_function: Callable[[Layer], Layer] | None = None,
) -> Model:
    """Returns a model with the same graph and new layers, hence fresh weights.

    Args:
        model: a functional or Sequential model.
        input_tensors: symbolic tensors to build it on, in the place of inputs of its own.
        clone_function: returns the new layer for a layer; by default one with the same options.

    Raises:
        ConfigError: the model is a subclassed one, or the function returned no layer.
    """
    if model._kgraph_inner_graph is None and not isinstance(model, Sequential):
        raise ConfigError(
            f"{label_of(model)} is defined by code and cannot be cloned",
            hint="call its class again",
        )
    if clone_function is None:
        with custom_object_scope(classes_in(model)):
            clone = type(model).from_config(model.get_config())
    elif isinstance(model, Sequential):
        clone = Sequential([*model.inputs, *map(clone_function, model.layers)], name=model.name)
    else:
        clone = _replayed(model, clone_function)
    return clone if input_tensors is None else Model(input_tensors, clone(input_tensors))


def _replayed(model: Model, clone_function: Callable[[Layer], Layer]) -> Model:
    """Returns the model called anew, node by node, on the layers that the function returns."""
    graph = model._kgraph_inner_graph
    assert isinstance(graph, Graph)
    layers: dict[str, Any] = {}
    made: dict[str, list[Any]] = {}
    for name, layer in model._kgraph.layers.items():
        new = _fresh(layer) if isinstance(layer, InputLayer) else clone_function(layer)
        if not isinstance(new, Layer):
            raise ConfigError(
                f"clone_function returned no layer for {label_of(layer)}", received=repr(new)
            )
        if new is not layer:
            new._kgraph.rename(name)
        layers[name] = new
    for node in graph.nodes:
        if graph.layers[node.layer].class_name == INPUT_CLASS:
            made[node.name] = [layers[node.layer].make_symbol()]
            continue
        tensors = [made[ref.node][ref.index] for ref in node.inputs]
        args, kwargs = fill([list(node.args), node.kwargs], tensors)
        result = layers[node.layer](*args, **kwargs)
        made[node.name] = [s for s in leaves(result) if isinstance(s, SymbolicTensor)]
    inputs = fill(graph.input_structure, [made[ref.node][ref.index] for ref in graph.inputs])
    outputs = fill(graph.output_structure, [made[ref.node][ref.index] for ref in graph.outputs])
    return Model(inputs, outputs, name=model.name)


def _fresh(layer: Layer) -> Layer:
    return type(layer).from_config(layer.get_config())
