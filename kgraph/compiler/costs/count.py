"""Counts the costs of a graph, node by node, through the models inside."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from kgraph.compiler.costs.dims import bind_sizes, known_sizes, with_sizes
from kgraph.compiler.costs.report import Cost, Costs
from kgraph.compiler.costs.rules import work_by_rule
from kgraph.compiler.costs.traced import trace_call
from kgraph.compiler.costs.work import Work, nbytes
from kgraph.compiler.inputs import arrange_inputs
from kgraph.errors import DataError
from kgraph.graph.graph import Graph
from kgraph.graph.node import Node, Ref, TensorSpec
from kgraph.graph.structure import fill
from kgraph.layers.base.tree import walk_weights

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


def count_costs(
    graph: Graph,
    layers: Mapping[str, Any],
    trained: Collection[int],
    batch_size: int = 1,
    sizes: Mapping[str, int] | None = None,
) -> Costs:
    """Returns the costs of one training step of a graph, without loss and optimizer.

    Args:
        graph: a model's graph.
        layers: the layer objects that its names stand for.
        trained: identities of the weights that training changes.
        batch_size: number of rows.
        sizes: the unknown sizes; see `known_sizes`.

    Raises:
        ConfigError: a size is missing or unknown.
    """
    values = known_sizes(graph, batch_size, sizes)
    counter = _Counter(frozenset(trained))
    given = [_Tensor(with_sizes(graph.spec(ref), values)) for ref in graph.inputs]
    counter.count(graph, layers, values, given, "", "")
    rows = int(given[0].spec.dims[0])  # an input may have a batch size of its own
    return Costs([draft.finished() for draft in counter.drafts], rows, sizes or {})


@dataclass(eq=False)
class _Tensor:
    """A tensor on its way: who made it, whether a gradient goes through it, whether it is kept."""

    spec: TensorSpec
    needs_gradient: bool = False
    kept: bool = False


@dataclass
class _Draft:
    """A row that may still learn that its outputs are kept."""

    path: str
    layer: str
    type: str
    outputs: list[_Tensor] = field(default_factory=list)
    parameters: int = 0
    parameter_bytes: int = 0
    forward: int = 0
    backward: int = 0
    keeps: int = 0
    counted_by: str = "rule"

    def finished(self) -> Cost:
        return Cost(
            self.path, self.layer, self.type, self.parameters, self.parameter_bytes,
            sum(nbytes(tensor.spec) for tensor in self.outputs),
            self.keeps + sum(nbytes(tensor.spec) for tensor in self.outputs if tensor.kept),
            self.forward, self.backward, self.counted_by,
        )  # fmt: skip


class _Counter:
    """Walks through a graph and the graphs inside, and collects a row for each node."""

    def __init__(self, trained: frozenset[int]) -> None:
        self.trained = trained
        self.drafts: list[_Draft] = []
        self._seen: set[int] = set()

    def count(
        self, graph: Graph, layers: Mapping[str, Any], values: Mapping[str, int],
        given: Sequence[_Tensor], path: str, layer_path: str,
    ) -> list[_Tensor]:  # fmt: skip
        """Adds the rows of a graph, and returns its outputs."""
        tensors: dict[Ref, _Tensor] = dict(zip(graph.inputs, given))
        for node in graph.nodes:
            layer = layers[node.layer]
            draft = _Draft(path + node.name, layer_path + node.layer, type(layer).__name__)
            if graph.layers[node.layer].is_input:
                if not path:
                    draft.outputs = [tensors[Ref(node.name)]]
                    self.drafts.append(draft)
                continue
            inputs = [tensors[ref] for ref in node.inputs]
            if layer._kgraph_inner_graph is not None:
                outputs = self._inside(layer, node, inputs, draft)
            else:
                outputs = [_Tensor(with_sizes(spec, values)) for spec in node.outputs]
                masks = [m and with_sizes(graph.spec(m), values) for m in node.masks]
                self._call(layer, node, inputs, outputs, masks, draft)
            tensors.update({Ref(node.name, i): tensor for i, tensor in enumerate(outputs)})
        return [tensors[ref] for ref in graph.outputs]

    def _inside(
        self, model: Any, node: Node, inputs: list[_Tensor], draft: _Draft
    ) -> list[_Tensor]:
        """Adds the rows of a nested model."""
        inner: Graph = model._kgraph_inner_graph
        try:
            given = arrange_inputs(inner, fill(node.args[0], inputs) if node.args else inputs)
        except DataError:  # a subclass whose call takes other arguments
            given = inputs
        own = [inner.spec(ref) for ref in inner.inputs]
        given = [
            _Tensor(TensorSpec(t.spec.dims, s.dtype), t.needs_gradient)
            if t.spec.dtype != s.dtype else t
            for t, s in zip(given, own)
        ]  # fmt: skip
        values = bind_sizes((s, t.spec) for s, t in zip(own, given))
        return self.count(
            inner, model._kgraph.layers, values, given, f"{draft.path}/", f"{draft.layer}/"
        )

    def _call(
        self,
        layer: Layer,
        node: Node,
        inputs: list[_Tensor],
        outputs: list[_Tensor],
        masks: Sequence[TensorSpec | None],
        draft: _Draft,
    ) -> None:
        """Adds the row of one call."""
        weights = [weight for _, weight, _ in walk_weights(layer)]
        trains = any(id(weight) in self.trained for weight in weights)
        backs = any(tensor.needs_gradient for tensor in inputs)
        specs = [tensor.spec for tensor in inputs]
        work = work_by_rule(layer, specs, [tensor.spec for tensor in outputs])
        draft.counted_by = "rule" if not hasattr(layer, "count_flops") else "layer"
        if work is None:
            work = trace_call(layer, node, specs, masks, backs, trains)
            draft.counted_by = "XLA"
        draft.outputs, draft.forward = outputs, work.forward
        draft.backward = work.backward(backs, trains)
        for weight in weights:
            if id(weight) not in self._seen:
                self._seen.add(id(weight))
                draft.parameters += weight.size
                draft.parameter_bytes += weight.size * jnp.dtype(weight.dtype).itemsize
        self.drafts.append(draft)
        if trains or backs:
            _keep(work, trains, inputs, outputs, draft)


def _keep(
    work: Work, trains: bool, inputs: list[_Tensor], outputs: list[_Tensor], draft: _Draft
) -> None:
    """Notes what the backward pass of a call reads, and that gradients come to its outputs."""
    draft.keeps = work.keeps
    if work.needs_inputs == "always" or (work.needs_inputs == "for weights" and trains):
        for tensor in inputs:
            tensor.kept = True
    for tensor in outputs:
        tensor.needs_gradient = jnp.issubdtype(jnp.dtype(tensor.spec.dtype), jnp.floating)
        tensor.kept = tensor.kept or work.needs_outputs
