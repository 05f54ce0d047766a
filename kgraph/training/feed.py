"""From the batches of a source to flat batches in the order of the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from kgraph.compiler.inputs import arrange_inputs
from kgraph.compiler.lower import LiveGraph
from kgraph.data import Batch as Raw
from kgraph.errors import DataError
from kgraph.graph.graph import Graph
from kgraph.graph.structure import is_structure
from kgraph.training.objective import Objective
from kgraph.training.pairing import by_output
from kgraph.training.step import Batch
from kgraph.types import Shape, Tree


class Feed(Protocol):
    """Makes flat batches of what a source gives."""

    def flat(self, x: Tree, y: Tree, sample_weight: Tree) -> Batch:
        """Returns a batch flat."""
        ...

    def check(self, batch: Batch, objective: Objective | None) -> None:
        """Raises DataError for what cannot be right. Without an objective there are no targets."""
        ...


class GraphFeed:
    """Batches for a graph: inputs in its order, targets by output.

    Args:
        live: what is to run on them.
        scored: the outputs that have a loss, where targets may be given for these alone.
    """

    def __init__(self, live: LiveGraph, scored: Sequence[int] | None = None) -> None:
        self.live, self.scored = live, scored

    def flat(self, x: Tree, y: Tree, sample_weight: Tree) -> Batch:
        """Returns a batch flat; raises DataError where it does not fit the model."""
        count = len(self.live.graph.outputs)
        y, sample_weight = (spread(given, self.scored, count) for given in (y, sample_weight))
        return flat_batch(self.live.graph, x, y, sample_weight)

    def check(self, batch: Batch, objective: Objective | None) -> None:
        """Checks ids and labels."""
        for i, check_ids in self._id_checks:
            if batch.inputs[i] is not None:
                check_ids(np.asarray(batch.inputs[i]))
        if objective is not None:
            objective.check_labels(batch.targets, self._shapes)

    @cached_property
    def _shapes(self) -> list[Shape]:
        return [self.live.graph.spec(ref).shape for ref in self.live.graph.outputs]

    @cached_property
    def _id_checks(self) -> list[tuple[int, Callable[[np.ndarray], None]]]:
        """What checks ids, for each layer that reads an input directly, by the input's number.

        On a device an id out of range would read as NaN, or as another row, without a word.
        """
        inputs = {ref.node: i for i, ref in enumerate(self.live.graph.inputs)}
        found = []
        for node in self.live.graph.nodes:
            checker = getattr(self.live.layers.get(node.layer), "check_ids", None)
            if checker is not None and node.inputs and node.inputs[0].node in inputs:
                found.append((inputs[node.inputs[0].node], checker))
        return found


class OwnFeed:
    """Batches for steps of the user's own, nested as they are."""

    def flat(self, x: Tree, y: Tree, sample_weight: Tree) -> Batch:
        """Returns a batch."""
        return Batch([x], [y], [sample_weight])

    def check(self, batch: Batch, objective: Objective | None) -> None:
        """Checks nothing: what data mean, the step knows."""


def spread(given: Any, scored: Sequence[int] | None, count: int) -> Any:
    """Returns what is given for the outputs with a loss alone as a list for all, with None."""
    if given is None or scored is None or len(scored) == count:
        return given
    if len(scored) == 1 and not is_structure(given):
        given = [given]
    if not isinstance(given, (list, tuple)) or len(given) != len(scored):
        return given
    found = dict(zip(scored, given))
    return [found.get(i) for i in range(count)]


def flat_batch(graph: Graph, x: Tree, y: Tree, sample_weight: Tree) -> Batch:
    """Returns a batch with inputs in the order of the graph and targets by output.

    Raises:
        DataError: names or numbers of inputs, targets or weights do not fit the model.
    """
    return flat_targets(graph, y, sample_weight)._replace(inputs=arrange_inputs(graph, x))


def flat_targets(graph: Graph, y: Tree, sample_weight: Tree) -> Batch:
    """Returns targets and weights by output, as a batch without inputs."""
    count = len(graph.outputs)
    targets = [None] * count if y is None else by_output(graph, y, "targets", DataError)
    if sample_weight is None:
        weights = [None] * count
    elif isinstance(sample_weight, (dict, list, tuple)):
        weights = by_output(graph, sample_weight, "sample weights", DataError)
    else:
        weights = [sample_weight] * count
    return Batch([], targets, weights)


def with_first(first: Raw, rest: Iterator[Raw]) -> Iterator[Raw]:
    """Yields a batch that was taken off an iterator, then the others.

    Closing this closes the iterator, and with it the threads that a source may have at work.
    """
    try:
        yield first
        yield from rest
    finally:
        close = getattr(rest, "close", None)
        if close is not None:
            close()
