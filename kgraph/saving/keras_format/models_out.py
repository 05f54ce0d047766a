"""Models as Keras writes them: functional graphs, Sequential, and the user's own classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kgraph.compiler.lower import graph_of, is_model
from kgraph.custom_objects import get_registered_name
from kgraph.declared import is_own
from kgraph.graph.graph import Graph
from kgraph.graph.node import INPUT_CLASS, Node, Ref
from kgraph.graph.structure import Slot, fill, leaves, map_structure
from kgraph.layers.base import InputLayer, Layer
from kgraph.ops import Operation
from kgraph.saving.keras_format import operations
from kgraph.saving.keras_format.names import FUNCTIONAL, SEQUENTIAL
from kgraph.saving.keras_format.objects_out import ObjectWriter, policy
from kgraph.saving.keras_format.weight_paths import LayerOrder
from kgraph.types import Tree

if TYPE_CHECKING:
    from kgraph.models.model import Model


class ModelWriter(ObjectWriter):
    """Writes a model down.

    Attributes:
        order: the order of its layers, and of the models inside.
        dropped: what is written as Keras writes it, and what nobody reads.
    """

    def __init__(self) -> None:
        super().__init__()
        self.order: LayerOrder = {}
        self.dropped: list[str] = []

    def _layer(self, layer: Layer, place: str, name: str) -> dict[str, Any]:
        if not is_model(layer):
            return super()._layer(layer, place, name)
        model: Any = layer
        module, class_name = _class_of(model)
        if model._kgraph_is_sequential:
            config = self._sequential(model, place, name)
            registered = None
        elif model._kgraph_is_plain:
            config = self._functional(model, place, name)
            registered = class_name
        else:
            if model._kgraph.graph is not None:
                self.cannot(place, "a class of your own that is made of tensors as well")
            config, registered = self.options(model, place, name), None
        if module == "custom":
            registered = get_registered_name(type(model))
        made = {
            "module": module, "class_name": class_name, "config": config,
            "registered_name": registered,
        }  # fmt: skip
        if (shape := _input_shape(model)) is not None:
            made["build_config"] = {"input_shape": shape}
        return made

    def _sequential(self, model: Model, place: str, name: str) -> dict[str, Any]:
        layers: list[Layer] = list(model.layers)
        self.order[id(model)] = layers
        names = {id(layer): key for key, layer in model._kgraph.layers.items()}
        first: list[Layer] = []
        if model._kgraph.graph is not None:
            first = [model._kgraph.symbols[0].call.layer]
        written = [
            self.layer(item, f"{place}/{item.name}", names.get(id(item))) for item in first + layers
        ]
        config = {
            "name": name, "trainable": model._kgraph.trainable, "dtype": policy(model),
            "layers": written,
        }  # fmt: skip
        if first:
            config["build_input_shape"] = _input_shape(model)
        return config

    # --- functional ------------------------------------------------------------------------------

    def _functional(self, model: Any, place: str, name: str) -> dict[str, Any]:
        graph: Graph = model.graph
        layers: Mapping[str, Layer] = model._kgraph.layers
        self.order[id(model)] = [x for x in layers.values() if not isinstance(x, Operation)]
        calls: dict[str, list[Node]] = {key: [] for key in layers}
        for node in graph.nodes:
            calls[node.layer].append(node)
        for key in calls:
            calls[key].sort(key=lambda node: node.call_index)
        number = {node.name: i for nodes in calls.values() for i, node in enumerate(nodes)}
        scope = _Scope(graph, layers, number)
        entries = []
        for key, layer in layers.items():
            where = f"{place}/{key!r} ({type(layer).__name__})".lstrip("/")
            if isinstance(layer, Operation):
                entries.append(self._operation(scope, calls[key], key, where))
                continue
            nodes = [self._node(scope, node, where) for node in calls[key]]
            if isinstance(layer, InputLayer):
                nodes = []
            entries.append({**self.layer(layer, where, key), "name": key, "inbound_nodes": nodes})
        self._check_masks(graph, layers, place)
        return {
            "name": name,
            "trainable": model._kgraph.trainable,
            "layers": entries,
            "input_layers": scope.ends(graph.input_structure, graph.inputs),
            "output_layers": scope.ends(graph.output_structure, graph.outputs),
        }

    def _node(self, scope: _Scope, node: Node, place: str) -> dict[str, Any]:
        if scope.graph.layers[node.layer].class_name == INPUT_CLASS:
            return {}
        args, kwargs = scope.arguments(node)
        if kwargs.get("training"):
            self.cannot(
                place, "training=True in a call, which Keras drops: it would predict otherwise"
            )
        elif kwargs.get("training") is not None:
            self.dropped.append(f"training=False of {place}")
        return {
            "args": [self._argument(item, place) for item in args],
            "kwargs": {key: self._argument(item, place) for key, item in kwargs.items()},
        }

    def _argument(self, item: object, place: str) -> Any:
        """Returns an argument of a call: tensors are marked already, the rest is plain."""
        if isinstance(item, _Tensor):
            return item.plain
        if isinstance(item, dict):
            return {key: self._argument(part, place) for key, part in item.items()}
        if isinstance(item, (list, tuple)):
            return [self._argument(part, place) for part in item]
        return self.value(item, place)

    def _operation(self, scope: _Scope, nodes: list[Node], key: str, place: str) -> dict[str, Any]:
        layer = scope.layers[key]
        assert isinstance(layer, Operation)
        written, head = [], {"module": "", "class_name": "", "config": {}}
        for node in nodes:
            args, kwargs = scope.arguments(node)
            try:
                pair, config, rest = operations.to_keras(layer.function, args, kwargs)
            except operations.OperationError as error:
                self.cannot(place, str(error))
                continue
            config = {name: self._argument(item, place) for name, item in config.items()}
            head = {
                "module": pair.module, "class_name": pair.class_name,
                "config": {"name": key, **config}, "registered_name": pair.class_name,
            }  # fmt: skip
            written.append({"args": [self._argument(a, place) for a in rest], "kwargs": {}})
        return {**head, "name": key, "inbound_nodes": written}

    def _check_masks(self, graph: Graph, layers: Mapping[str, Layer], place: str) -> None:
        """Notes masks that go through operations, where Keras ends them."""
        for node in graph.nodes:
            if isinstance(layers[node.layer], Operation):
                continue
            for ref, mask in zip(node.inputs, node.masks):
                maker = layers[graph.by_name[ref.node].layer]
                if mask is not None and isinstance(maker, Operation):
                    self.cannot(
                        f"{place}/{node.layer!r}".lstrip("/"),
                        f"a mask that comes through {maker.function!r}, where Keras ends it",
                    )


class _Tensor:
    """A tensor among the arguments of a call, in Keras' form."""

    def __init__(self, plain: dict[str, object]) -> None:
        self.plain = plain


class _Scope:
    """The graph of one model, and how Keras numbers its calls."""

    def __init__(
        self, graph: Graph, layers: Mapping[str, Layer], number: Mapping[str, int]
    ) -> None:
        self.graph, self.layers, self._number = graph, layers, number

    def arguments(self, node: Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Returns the arguments of a call with tensors in Keras' form."""
        tensors = [self._tensor(ref) for ref in node.inputs]

        def filled(item: object) -> Any:
            return tensors[item.index] if isinstance(item, Slot) else item

        return map_structure(filled, tuple(node.args)), map_structure(filled, dict(node.kwargs))

    def ends(self, structure: Tree, refs: tuple[Ref, ...]) -> Any:
        """Returns inputs or outputs of the model in their structure."""
        found: list[Any] = []
        for ref in refs:
            layer, call, index = self._history(ref)
            inner: Any = self.layers[layer]
            if inner._kgraph_inner_graph is not None and not inner._kgraph_is_sequential:
                call += 1  # Keras counts the call inside a functional model first
            found.append(_Tensor({"history": [layer, call, index]}))
        whole = fill(structure, found)
        return _unwrapped(whole)

    def _history(self, ref: Ref) -> tuple[str, int, int]:
        return self.graph.by_name[ref.node].layer, self._number[ref.node], ref.index

    def _tensor(self, ref: Ref) -> _Tensor:
        spec = self.graph.spec(ref)
        history = list(self._history(ref))
        config = {"shape": list(spec.shape), "dtype": spec.dtype, "keras_history": history}
        return _Tensor({"class_name": "__keras_tensor__", "config": config})


def _unwrapped(tree: Any) -> Any:
    if isinstance(tree, _Tensor):
        return tree.plain["history"]
    if isinstance(tree, dict):
        return {key: _unwrapped(item) for key, item in tree.items()}
    return [_unwrapped(item) for item in tree]


def _class_of(model: Model) -> tuple[str, str]:
    cls = type(model)
    if is_own(cls):
        return SEQUENTIAL if model._kgraph_is_sequential else FUNCTIONAL
    return "custom", cls.__name__


def _input_shape(model: Model) -> list[int | None] | None:
    """Returns the shape of a model's one input, which Keras builds it for."""
    graph = graph_of(model)
    if graph is None or not isinstance(graph.input_structure, Slot):
        return None
    refs = list(leaves(graph.inputs))
    return list(graph.spec(refs[0]).shape)
