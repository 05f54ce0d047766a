"""Turns symbols into a Graph: finds the calls, names them, and writes them down as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kgraph.errors import GraphError
from kgraph.graph.dims import rename_dims, unnamed_dims
from kgraph.graph.graph import Graph
from kgraph.graph.naming import give_names
from kgraph.graph.node import INPUT_CLASS, LayerSpec, Node, Ref, TensorSpec
from kgraph.graph.structure import flatten, leaves, sorted_leaves
from kgraph.graph.symbol import Call, MaskOf, SymbolicTensor
from kgraph.graph.walk import keras_order, key, parents
from kgraph.types import Tree

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


@dataclass(frozen=True)
class Frozen:
    """A graph, and the live layer objects that its layer names stand for."""

    graph: Graph
    layers: dict[str, Any]


def freeze(
    inputs: Tree, outputs: Tree, make_input: Callable[[SymbolicTensor], SymbolicTensor]
) -> Frozen:
    """Writes down everything between `inputs` and `outputs`.

    Args:
        inputs: a structure of symbols. One that some layer computed cuts the graph there.
        outputs: a structure of symbols.
        make_input: makes a fresh input symbol with the spec of a tensor at a cut.

    Raises:
        GraphError: something in the structures is no symbol, an input is given twice, an input that
            the outputs need is missing, or names clash.
    """
    given, input_structure = _symbols(inputs, "inputs")
    wanted, output_structure = _symbols(outputs, "outputs")
    _check_distinct(given)
    entries = [s if is_input(s) else make_input(s) for s in given]
    stops = {key(s): entry.call for s, entry in zip(given, entries)}

    ends: list[SymbolicTensor] = list(sorted_leaves(outputs))
    out_calls = [stops.get(key(s), s.call) for s in ends]
    calls = keras_order(out_calls, stops, [entry.call for entry in entries])
    _check_inputs_complete(calls, entries, stops)
    names = give_names(*_layers_of(calls))
    writer = _Writer(calls, names, stops, _dim_names(entries, calls))
    nodes = tuple(writer.node(call) for call in calls)
    layers = {names[id(call.layer)]: call.layer for call in calls}
    graph = Graph(
        inputs=tuple(writer.ref(entry) for entry in entries),
        outputs=tuple(writer.ref(symbol) for symbol in wanted),
        nodes=nodes,
        layers={names[id(call.layer)]: writer.layer(call) for call in first_calls(calls)},
        input_structure=input_structure,
        output_structure=output_structure,
        aliases=find_aliases(layers),
    )
    return Frozen(graph, layers)


def first_calls(calls: Sequence[Call]) -> list[Call]:
    """Returns the first call of each layer."""
    return list({id(call.layer): call for call in reversed(calls)}.values())[::-1]


def is_input(symbol: SymbolicTensor) -> bool:
    """Tells whether a symbol was made by `Input`."""
    return type(symbol.call.layer).__name__ == INPUT_CLASS and not symbol.call.inputs


def find_aliases(layers: dict[str, Any]) -> dict[str, str]:
    """Returns, for each layer object with several paths, the later paths and the first."""
    first: dict[int, str] = {}
    aliases: dict[str, str] = {}

    def visit(path: str, layer: Layer) -> None:
        if id(layer) in first:
            aliases[path] = first[id(layer)]
            return
        first[id(layer)] = path
        for name, child in layer._kgraph_children():
            visit(f"{path}/{name}", child)

    for name, layer in layers.items():
        visit(name, layer)
    return aliases


class _Writer:
    """Writes calls as nodes under the names they have been given."""

    def __init__(
        self,
        calls: Sequence[Call],
        names: dict[int, str],
        stops: dict[tuple[int, int], Call],
        dims: dict[str, str],
    ) -> None:
        self.names, self.stops, self.dims = names, stops, dims
        self.unmasked: set[int] = set()
        self.node_names: dict[int, str] = {}
        counts: dict[int, int] = {}
        for call in calls:
            n = counts.get(id(call.layer), 0)
            counts[id(call.layer)] = n + 1
            base = names[id(call.layer)]
            self.node_names[id(call)] = f"{base}:{n}" if n else base

    def ref(self, symbol: SymbolicTensor) -> Ref:
        entry = self.stops.get(key(symbol))
        if entry is not None:
            return Ref(self.node_names[id(entry)], 0)
        return Ref(self.node_names[id(symbol.call)], symbol.index)

    def mask(self, mask: MaskOf | None) -> Ref | None:
        if mask is None or id(mask.call) not in self.node_names:
            return None
        return Ref(self.node_names[id(mask.call)], mask.index, mask=True)

    def masks(self, call: Call) -> tuple[Ref | None, ...]:
        """Returns the masks that come with a call's inputs: one from before a cut does not."""
        return tuple(
            None if key(s) in self.stops or id(s.call) in self.unmasked else self.mask(mask)
            for s, mask in zip(call.inputs, call.masks)
        )

    def spec(self, spec: TensorSpec | None) -> TensorSpec | None:
        return None if spec is None else spec.renamed(self.dims)

    def layer(self, call: Call) -> LayerSpec:
        """Returns the description of a layer; an input's sizes have the names they have here."""
        spec = call.layer._kgraph_spec()
        if not spec.is_input:
            return spec
        dims = rename_dims(call.outputs[0].dims, self.dims)
        return replace(spec, config={**spec.config, "dims": list(dims)})

    def node(self, call: Call) -> Node:
        masks = self.masks(call)
        passed = self.mask(call.passes_mask)
        if call.passes_mask is not None and passed not in [mask for mask in masks if mask]:
            passed = None
            self.unmasked.add(id(call))
        own = [
            passed if spec is None else self.mask(MaskOf(call, i))
            for i, spec in enumerate(call.mask_specs)
        ]
        return Node(
            name=self.node_names[id(call)],
            layer=self.names[id(call.layer)],
            args=call.args,
            kwargs=call.kwargs,
            inputs=tuple(self.ref(symbol) for symbol in call.inputs),
            masks=masks,
            structure=call.structure,
            outputs=tuple(spec for spec in map(self.spec, call.outputs) if spec is not None),
            output_masks=tuple(own),
            mask_specs=tuple(self.spec(spec) for spec in call.mask_specs),
            effects=call.effects,
            source=call.source,
        )


def _symbols(tree: Tree, what: str) -> tuple[list[SymbolicTensor], Any]:
    found, structure = flatten(tree, lambda item: isinstance(item, SymbolicTensor))
    for item in leaves(tree):
        if not isinstance(item, SymbolicTensor):
            raise GraphError(
                f"The {what} of a model are symbolic tensors",
                expected="what kgraph.Input returned, or the result of calling a layer on it",
                received=f"{type(item).__name__}: {' '.join(str(item).split())[:80]}",
                hint="call the layer on a tensor first: outputs=layer(x), not outputs=layer"
                if hasattr(item, "call")
                else "to run a model on arrays, build it first and call model(array)",
            )
    if not found:
        raise GraphError(f"A model needs at least one tensor in its {what}", received=tree)
    return found, structure


def _check_distinct(given: Sequence[SymbolicTensor]) -> None:
    seen: set[tuple[int, int]] = set()
    for symbol in given:
        if key(symbol) in seen:
            raise GraphError(
                f"The input {symbol.name!r} is given twice", made=symbol.source, expected="once"
            )
        seen.add(key(symbol))


def _check_inputs_complete(
    calls: Sequence[Call],
    entries: Sequence[SymbolicTensor],
    stops: dict[tuple[int, int], Call],
) -> None:
    known = {id(entry.call) for entry in entries}
    for call in calls:
        if call.inputs or id(call) in known or type(call.layer).__name__ != INPUT_CLASS:
            continue
        reader = next(c for c in calls if any(p is call for p in parents(c, stops)))
        listed = ", ".join(repr(entry.name) for entry in entries)
        raise GraphError(
            f"The outputs depend on the input {call.layer.name!r}, "
            "which is not among the model's inputs",
            at=f"{reader.source} reads it",
            made=call.source,
            expected=f"inputs that hold {call.layer.name!r}",
            received=f"inputs {listed}",
            hint=f"add it: Model(inputs=[..., {call.layer.name}], ...)",
        )


def _layers_of(calls: Sequence[Call]) -> tuple[list[Any], dict[int, Any]]:
    layers: dict[int, Any] = {}
    sources: dict[int, Any] = {}
    for call in calls:
        layers.setdefault(id(call.layer), call.layer)
        sources.setdefault(id(call.layer), call.source)
    return list(layers.values()), sources


def _dim_names(entries: Sequence[SymbolicTensor], calls: Sequence[Call]) -> dict[str, str]:
    """Returns a name for each unnamed size, numbered in the order of the inputs.

    Sizes that a call needs to be one have one name, that of the first input with any of them.
    """
    known = [name for entry in entries for name in unnamed_dims(entry.spec.dims)]
    one: dict[str, str] = {}
    for name, other in (pair for call in calls for pair in call.equal):
        ends = sorted({_end(one, name), _end(one, other)}, key=lambda end: (end not in known, end))
        one |= dict.fromkeys(ends[1:], ends[0])
    kept = dict.fromkeys(_end(one, name) for name in known)
    names = {name: f"_{i + 1}" for i, name in enumerate(kept)}
    return {name: names.get(_end(one, name), _end(one, name)) for name in (*known, *one)}


def _end(one: dict[str, str], name: str) -> str:
    """Returns the name that stands for a name."""
    while name in one:
        name = one[name]
    return name
