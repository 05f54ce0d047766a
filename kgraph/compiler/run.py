"""Runs a graph: calls the bound layers in order. The one interpreter of graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax

from kgraph.compiler.factors import factors
from kgraph.compiler.spread import laid_out
from kgraph.errors import DataError, KGraphError
from kgraph.graph.graph import Graph
from kgraph.graph.node import Node, Ref
from kgraph.graph.structure import fill, flatten
from kgraph.layers.base.context import Context
from kgraph.layers.base.stated import STATES, check_stated
from kgraph.layers.base.symbolic import is_array
from kgraph.types import Array

Observer: TypeAlias = Callable[[Node, list[Array]], None]
"""What wants to see the outputs of each node while a graph runs."""


def run_graph(
    graph: Graph,
    layers: Mapping[str, Any],
    inputs: Sequence[Array],
    context: Context,
    masked_inputs: bool = False,
    observe: Observer | None = None,
) -> tuple[list[Array], list[Array | None]]:
    """Computes the outputs of a graph and their masks.

    Args:
        graph: what to run.
        layers: bound copy of each layer, by its name in the graph; for repeated blocks a `Stack`.
        inputs: arrays in the order of `graph.inputs`.
        context: the run.
        masked_inputs: the inputs come with masks that the graph does not know of (a model called
            on masked tensors); masks then follow the tensors, as inside a layer's own call.
        observe: called with each node that was computed and its outputs.
    """
    values: dict[Ref, Any] = dict(zip(graph.inputs, inputs))
    for node in graph.nodes:
        if graph.layers[node.layer].is_input:
            continue
        arrays = [values[ref] for ref in node.inputs]
        if graph.layers[node.layer].is_stack:
            with jax.named_scope(node.name):
                _add_stacked(values, node, layers[node.layer].run(arrays, context))
            continue
        if graph.layers[node.layer].is_factors:
            found = factors(layers[node.layer], graph.layers[node.layer], arrays[0])
            if node.layout and context.mesh is not None:
                found[1] = laid_out(found[1], node.layout, context.mesh)
            values.update((Ref(node.name, i), factor) for i, factor in enumerate(found))
            continue
        if not masked_inputs:
            for array, mask in zip(arrays, node.masks):
                context.set_mask(array, None if mask is None else values[mask])
            if graph.layers[node.layer].traits.rows_independent == "by mask":
                _leave_rows_out(arrays, context)
        layer = layers[node.layer]
        layer._kgraph.segment, layer._kgraph.lowering = node.name, node.lowering
        args, kwargs = fill([list(node.args), node.kwargs], arrays)
        with jax.named_scope(node.name):
            try:
                outputs, _ = flatten(layer(*args, **kwargs), is_array)
            except (TypeError, ValueError) as error:
                raise _of_other_sizes(graph, node, arrays, error) from error
        if STATES in node.effects:
            check_stated(node, outputs)
        if observe is not None:
            observe(node, outputs)
        mesh = context.mesh if node.layout else None
        for i, output in enumerate(outputs):
            given = output if mesh is None else laid_out(output, node.layout, mesh)
            values[Ref(node.name, i)] = given
            if node.mask_specs[i] is not None:
                values[Ref(node.name, i, mask=True)] = context.mask_of(output)
    found = [values[ref] for ref in graph.outputs]
    if masked_inputs:
        return found, [context.mask_of(output) for output in found]
    refs = [graph.mask_of(ref) for ref in graph.outputs]
    return found, [None if ref is None else values[ref] for ref in refs]


def _leave_rows_out(arrays: Sequence[Array], context: Context) -> None:
    """Has the mask of a layer's first argument leave out the rows that only pad the batch."""
    if context.kept is None:
        return
    sizes = arrays[0].shape[:-1]
    rows = jax.lax.broadcast_in_dim(context.kept, sizes, (0,))
    mask = context.mask_of(arrays[0])
    context.set_mask(arrays[0], rows if mask is None else mask & rows)


def _of_other_sizes(
    graph: Graph, node: Node, arrays: Sequence[Array], error: Exception
) -> Exception:
    """Returns a clear error where a layer fails on sizes that the first data did not have."""
    specs = [graph.spec(ref) for ref in node.inputs]
    pairs = [pair for spec, array in zip(specs, arrays) for pair in zip(spec.dims, array.shape)]
    alike = all(not isinstance(known, int) or known == size for known, size in pairs)
    if isinstance(error, KGraphError) or alike:
        return error
    return DataError(
        f"{node.layer!r} fails on sizes other than those of the first data: {error}",
        at=node.source,
        expected=", ".join(map(str, specs)),
        received=", ".join(str(list(array.shape)) for array in arrays),
    )


def _add_stacked(values: dict[Ref, Any], node: Node, outputs: Sequence[Array]) -> None:
    """Adds what repeated blocks gave; some of their outputs are masks themselves."""
    for i, output in enumerate(outputs):
        values[Ref(node.name, i)] = output
        if node.mask_specs[i] is not None:
            values[Ref(node.name, i, mask=True)] = output
