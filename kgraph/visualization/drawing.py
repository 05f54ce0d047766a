"""A drawing of a model as data: boxes, edges and groups, without places or colours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kgraph.compiler.inputs import arrange_inputs
from kgraph.errors import ConfigError, DataError, check_choice
from kgraph.graph import Graph, Node
from kgraph.graph.node import INPUT_CLASS
from kgraph.graph.structure import Slot, slots
from kgraph.layers.base.core import label_of
from kgraph.ops.operation import Operation
from kgraph.visualization.operations import operation_title
from kgraph.visualization.rows import class_name, is_sequential, mask_note
from kgraph.visualization.text import printable, show_shapes, unique

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


DIRECTIONS = ("TB", "BT", "LR", "RL")

Path = tuple[str, ...]
"""The names from a model down to a layer."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a drawing shows, in the words of `plot_model`. `fold=None` folds what is large."""

    show_shapes: bool = False
    show_dtype: bool = False
    show_layer_names: bool = True
    show_layer_activations: bool = False
    show_trainable: bool = False
    expand_nested: bool = False
    rankdir: str = "TB"
    fold: bool | None = None

    def __post_init__(self) -> None:
        check_choice("A drawing", "rankdir", self.rankdir, DIRECTIONS)


@dataclass(frozen=True, slots=True)
class Box:
    """A layer: the title of its box, the lines below, and the nested models it is in.

    Fields:
        output: the shapes that it returns; "" if they are not known.
        params: how many numbers its weights have.
        cost: what it costs, as text; "" if nobody asked.
        color: of the title (`#rrggbb`); None leaves it to whoever draws.
    """

    path: Path
    title: str
    lines: tuple[str, ...]
    group: Path
    output: str = ""
    params: int = 0
    cost: str = ""
    color: str | None = None

    @property
    def facts(self) -> list[str]:
        """What is told of it where one points at it: path and class, shapes, parameters, costs."""
        named = f"{printable('/'.join(self.path))} ({self.title})"
        facts = [named, f"output: {self.output}" if self.output else ""]
        facts += [f"{self.params:,} parameters" if self.params else "", self.cost]
        return [fact for fact in facts if fact]


@dataclass(frozen=True, slots=True)
class Edge:
    """What one call of a box gives to one of another, with masks if `masked`. Boxes by number."""

    source: int
    target: int
    masked: bool = False


@dataclass
class Drawing:
    """Boxes in the order of the graph, edges between them, and the titles of groups by path."""

    name: str
    boxes: list[Box] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    groups: dict[Path, str] = field(default_factory=dict)


def draw(model: Any, options: Options) -> Drawing:
    """Returns the drawing of a model: one box for each layer, however often it is called.

    A model without a graph (subclassed) is one box, as in Keras.

    Raises:
        ConfigError: the model has no graph and is not built either.
    """
    sketch = _Sketch(options, Drawing(model.name))
    if model._kgraph_inner_graph is None:
        if not model.built:
            raise ConfigError(
                f"{label_of(model)} cannot be drawn before it is built",
                hint="call it once on data, or make it of tensors: Model(inputs, outputs)",
            )
        sketch.add_box((model.name,), model, [])
    else:
        sketch.add_model((), model)
        edges = sketch.found_edges.items()
        sketch.drawing.edges += [Edge(source, to, masked) for (source, to, _), masked in edges]
    return sketch.drawing


class _Sketch:
    """Collects boxes while it walks through a model and the models inside."""

    def __init__(self, options: Options, drawing: Drawing) -> None:
        self.options, self.drawing = options, drawing
        self.numbers: dict[Path, int] = {}
        self.models: dict[Path, Any] = {}
        self.found_edges: dict[tuple[int, int, tuple[str, str]], bool] = {}

    def add_model(self, path: Path, model: Any) -> None:
        """Adds the boxes of a functional model's layers, then the edges between them."""
        graph: Graph = model._kgraph_inner_graph
        self.models[path] = model
        calls: dict[str, list[Node]] = {name: [] for name in graph.layers}
        for node in graph.nodes:
            calls[node.layer].append(node)
        for name, nodes in calls.items():
            layer = model._kgraph.layers[name]
            if self.options.expand_nested and layer._kgraph_inner_graph is not None:
                self.drawing.groups[(*path, name)] = f"{printable(name)} ({class_name(layer)})"
                self.add_model((*path, name), layer)
            elif not _is_hidden(model, name):
                self.add_box((*path, name), layer, nodes, graph)
        for node in graph.nodes:
            self.connect(path, graph, node)

    def add_box(
        self, path: Path, layer: Layer, nodes: list[Node], graph: Graph | None = None
    ) -> None:
        """Adds the box of one layer."""
        title, lines = _label(path[-1], layer, nodes, graph, self.options)
        self.numbers[path] = len(self.drawing.boxes)
        output = ", ".join(unique(show_shapes(node.outputs) for node in nodes))
        params = sum(weight.size for weight in layer.weights)
        self.drawing.boxes.append(Box(path, title, lines, path[:-1], output, params))

    def connect(self, path: Path, graph: Graph, node: Node) -> None:
        """Adds an edge for each call that a call reads from."""
        for place, ref in enumerate(node.inputs):
            maker = graph.by_name[ref.node]
            sources = list(self.makers((*path, maker.layer), ref.index))
            for target in self.readers((*path, node.layer), node, place):
                for source in sources:
                    key, masked = (source, target, (ref.node, node.name)), node.masks[place]
                    self.found_edges[key] = self.found_edges.get(key, False) or masked is not None

    def makers(self, path: Path, index: int) -> Iterator[int]:
        """Yields the box that makes an output of a layer, inside it if it is expanded."""
        while path in self.models:
            inner = self.models[path]._kgraph_inner_graph
            ref = inner.outputs[index]
            path, index = (*path, inner.by_name[ref.node].layer), ref.index
        if path in self.numbers:  # not so for the hidden input of a Sequential model
            yield self.numbers[path]

    def readers(self, path: Path, call: Node, place: int) -> Iterator[int]:
        """Yields the boxes that read an input of a call, inside the layer if it is expanded."""
        if path not in self.models:
            if path in self.numbers:
                yield self.numbers[path]
            return
        model = self.models[path]
        inner: Graph = model._kgraph_inner_graph
        for ref in _fed_inputs(inner, call, place):
            name = inner.by_name[ref.node].layer
            if not _is_hidden(model, name):
                yield self.numbers[*path, name]
                continue
            for node in inner.nodes:
                for i, read in enumerate(node.inputs):
                    if read == ref:
                        yield from self.readers((*path, node.layer), node, i)


def _is_hidden(model: Any, name: str) -> bool:
    """Tells whether a layer gets no box: the input layer of a Sequential model, as in Keras."""
    return is_sequential(model) and model._kgraph_inner_graph.layers[name].class_name == INPUT_CLASS


def _fed_inputs(inner: Graph, call: Node, place: int) -> Iterator[Any]:
    """Yields the inputs of a nested model that get the `place`-th tensor of a call."""
    try:
        fed = arrange_inputs(inner, call.args[0] if call.args else call.kwargs.get("inputs"))
    except DataError:  # a subclass whose `call` takes other arguments
        fed = [Slot(i) for i in slots([call.args, call.kwargs])]
    for ref, slot in zip(inner.inputs, fed):
        if slot == Slot(place):
            yield ref


def _label(
    name: str, layer: Layer, nodes: list[Node], graph: Graph | None, options: Options
) -> tuple[str, tuple[str, ...]]:
    """Returns title and lines of a layer's box."""
    lines: list[str] = []
    if options.show_layer_names:
        lines.append(printable(name))
    activation = getattr(layer, "activation", None)
    if options.show_layer_activations and activation is not None:
        lines.append(f"activation: {printable(_name_of(activation))}")
    if options.show_dtype:
        made = unique(spec.dtype for node in nodes for spec in node.outputs)
        lines.append(f"dtype: {', '.join(made) or '?'}")
    if options.show_shapes:
        if graph is not None and any(node.inputs for node in nodes):
            read = unique(
                show_shapes([graph.spec(ref) for ref in node.inputs])
                for node in nodes
                if node.inputs
            )
            lines.append(f"input: {', '.join(read)}")
        made = unique(show_shapes(node.outputs) for node in nodes)
        lines.append(f"output: {', '.join(made) or '?'}")
    note = mask_note(nodes)
    if note is not None and note != "masked":
        lines.append(note)
    if options.show_trainable and layer.weights:
        lines.append("trainable" if layer.trainable else "not trainable")
    title = class_name(layer)
    if isinstance(layer, Operation):
        title = operation_title(layer.function, nodes)
    return printable(title), tuple(lines)


def _name_of(function: Any) -> str:
    return getattr(function, "__name__", None) or getattr(function, "name", str(function))
