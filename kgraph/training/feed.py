"""From the batches of a source to flat batches in the order of the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kgraph.compiler.inputs import arrange_inputs
from kgraph.data import Source, as_batch
from kgraph.errors import DataError
from kgraph.graph.graph import Graph
from kgraph.training.pairing import by_output
from kgraph.training.step import Batch
from kgraph.types import Tree


def flat_batch(graph: Graph, x: Tree, y: Tree, sample_weight: Tree) -> Batch:
    """Returns a batch with inputs in the order of the graph and targets by output.

    Raises:
        DataError: names or numbers of inputs, targets or weights do not fit the model.
    """
    count = len(graph.outputs)
    inputs = arrange_inputs(graph, x)
    targets = [None] * count if y is None else by_output(graph, y, "targets", DataError)
    if sample_weight is None:
        weights = [None] * count
    elif isinstance(sample_weight, (dict, list, tuple)):
        weights = by_output(graph, sample_weight, "sample weights", DataError)
    else:
        weights = [sample_weight] * count
    return Batch(inputs, targets, weights)


def batches(
    graph: Graph, source: Source, epoch: int, start: int = 0, check: Check | None = None
) -> Iterator[Batch]:
    """Yields the flat batches of an epoch.

    Args:
        graph: the model's graph.
        source: where the batches come from.
        epoch, start: which epoch, and the first batch of it.
        check: called with each batch that was not checked before as a whole.
    """
    iterator = source.epoch(epoch, start)
    try:
        for x, y, sample_weight in iterator:
            batch = flat_batch(graph, x, y, sample_weight)
            if check is not None:
                check(batch)
            yield batch
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()


Check = Callable[[Batch], None]


def check_ids(layers: dict[str, Any], graph: Graph, inputs: list[Any]) -> None:
    """Lets each Embedding that reads an input directly check its ids, on the host.

    On a device an id out of range would read as NaN, or as another row, without a word.
    """
    by_input = {ref.node: array for ref, array in zip(graph.inputs, inputs)}
    for node in graph.nodes:
        checker = getattr(layers.get(node.layer), "check_ids", None)
        if checker is None or not node.inputs or node.inputs[0].node not in by_input:
            continue
        array = by_input[node.inputs[0].node]
        if array is not None:
            checker(np.asarray(array))


def first_shapes(batch: Batch) -> list[tuple[int | None, ...] | None]:
    """Returns the public shape of each output's targets in a batch."""
    return [None if t is None else (None, *t.shape[1:]) for t in batch.targets]


def peek(graph: Graph, source: Source, x: Tree = None, y: Tree = None) -> Batch:
    """Returns a batch that shows shapes and dtypes: of arrays one row of them.

    Raises:
        DataError: there is no batch.
    """
    if x is None:
        raise DataError("There are no data to learn the shapes from")
    x, y, _ = as_batch(x, y)
    return flat_batch(graph, x, y, None)
