"""Copies of models with fresh weights, and models from JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from kgraph import saving
from kgraph.compiler.inputs import arrange_inputs
from kgraph.custom_objects import custom_object_scope
from kgraph.errors import ConfigError
from kgraph.graph.graph import Graph
from kgraph.graph.node import INPUT_CLASS
from kgraph.graph.structure import fill, leaves
from kgraph.graph.symbol import SymbolicTensor
from kgraph.layers.base import InputLayer, Layer
from kgraph.layers.base.core import label_of
from kgraph.models.model import Model
from kgraph.models.sequential import Sequential
from kgraph.tracebacks import entry
from kgraph.types import Tree

CallFunction: TypeAlias = Callable[..., Tree]
"""Calls a layer, its first argument, on the others."""


@entry
def clone_model(
    model: Model,
    input_tensors: Tree = None,
    clone_function: Callable[[Layer], Layer] | None = None,
    call_function: CallFunction | None = None,
    recursive: bool = False,
) -> Model:
    """Returns a model with the same graph and new layers, hence fresh weights.

    It is compiled as the model is, with an optimizer of its own.

    Args:
        model: what to clone; one that is defined by code is made anew from its config.
        input_tensors: symbolic tensors to build it on, in the place of inputs of its own.
        clone_function: returns the new layer for a layer or operation; by default one with the same
            options.
        call_function: called with each new layer and its arguments, to call it; of functional
            models only.
        recursive: whether models inside are cloned in the same way, and not by `clone_function`.

    Raises:
        ConfigError: an argument does not go with such a model, or a function returned no layer.
    """
    functional = model._kgraph_inner_graph is not None
    sequential = isinstance(model, Sequential)
    if call_function is not None and (sequential or not functional):
        raise ConfigError(
            f"call_function is for functional models, and {label_of(model)} is none",
            hint="a Sequential does not call its layers when it is made" if sequential else None,
        )
    told = input_tensors is not None or clone_function is not None
    if not functional and not sequential and told:
        raise ConfigError(
            f"{label_of(model)} is defined by code: it is cloned as a whole",
            received="input_tensors" if clone_function is None else "clone_function",
            hint="call clone_model(model) alone",
        )
    if recursive and clone_function is not None:
        clone_function = _into_models(clone_function, call_function)
    own = saving.live_objects(model, *model._kgraph.trainer.objects(), strict=False)
    with custom_object_scope(own):
        if sequential:
            clone = _cloned_sequential(model, input_tensors, clone_function or _fresh)
        elif told or call_function is not None:
            clone = _replayed(model, input_tensors, clone_function or _fresh, call_function)
        else:
            clone = type(model).from_config(model.get_config())
        if model._kgraph.trainer.options is not None:
            clone.compile_from_config(model.get_compile_config() or {})
    return clone


def _into_models(
    function: Callable[[Layer], Layer], call_function: CallFunction | None
) -> Callable[[Layer], Layer]:
    def cloned(layer: Layer) -> Layer:
        if not isinstance(layer, Model):
            return function(layer)
        calls = None if isinstance(layer, Sequential) else call_function
        return clone_model(layer, None, function, calls, recursive=True)

    return cloned


def _cloned_sequential(
    model: Sequential, input_tensors: Tree, function: Callable[[Layer], Layer]
) -> Sequential:
    core, config = model._kgraph, model.get_config()
    entry = [x for x in core.stacked[:1] if isinstance(x, InputLayer)]
    first: list[Any] = [_fresh(x) for x in entry]
    if input_tensors is not None:
        first = list(leaves(input_tensors))
    layers = [_checked(layer, function(layer), layer.name) for layer in model.layers]
    clone = Sequential([*first, *layers], name=model.name, trainable=core.trainable)
    if not first and "build_input_shape" in config:
        clone.build(config["build_input_shape"])
    return clone


def _replayed(
    model: Model,
    input_tensors: Tree,
    function: Callable[[Layer], Layer],
    call_function: CallFunction | None,
) -> Model:
    """Returns the model called anew, node by node, on the layers that the function returns."""
    graph = model._kgraph_inner_graph
    assert isinstance(graph, Graph)
    layers: dict[str, Any] = {}
    made: dict[str, list[Any]] = {}
    if input_tensors is not None:
        given = zip(graph.inputs, arrange_inputs(graph, input_tensors))
        made = {ref.node: [symbol] for ref, symbol in given}
    for name, layer in model._kgraph.layers.items():
        new = _fresh(layer) if isinstance(layer, InputLayer) else function(layer)
        layers[name] = _checked(layer, new, name)
    for node in graph.nodes:
        layer = layers[node.layer]
        if graph.layers[node.layer].class_name == INPUT_CLASS:
            made.setdefault(node.name, [layer.make_symbol()])
            continue
        tensors = [made[ref.node][ref.index] for ref in node.inputs]
        args, kwargs = fill([list(node.args), node.kwargs], tensors)
        calls = call_function is not None
        result = call_function(layer, *args, **kwargs) if calls else layer(*args, **kwargs)
        made[node.name] = [s for s in leaves(result) if isinstance(s, SymbolicTensor)]
    inputs = fill(graph.input_structure, [made[ref.node][ref.index] for ref in graph.inputs])
    outputs = fill(graph.output_structure, [made[ref.node][ref.index] for ref in graph.outputs])
    cls = type(model) if model._kgraph_is_plain else Model
    return cls(inputs, outputs, name=model.name)


def _checked(layer: Layer, new: Any, name: str) -> Layer:
    """Returns a new layer, under the name of the old one unless it was given one of its own."""
    if not isinstance(new, Layer):
        raise ConfigError(
            f"clone_function returned no layer for {label_of(layer)}", received=repr(new)
        )
    if new is not layer and new._kgraph.explicit_name is None:
        new._kgraph.rename(name)
    return new


def _fresh(layer: Layer) -> Layer:
    return type(layer).from_config(layer.get_config())
