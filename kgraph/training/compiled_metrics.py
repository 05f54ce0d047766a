"""The metrics that `compile` was given, as one metric: so they stand in `model.metrics`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kgraph.errors import StateError
from kgraph.graph.graph import Graph
from kgraph.metrics import Metric
from kgraph.training.objective import COMPILED, Tracked
from kgraph.training.pairing import by_output
from kgraph.types import Tree


class CompiledMetrics(Metric):
    """Updates the metrics of all outputs; its result is a dict by their keys in logs.

    What they are is known when there are data: until then there are none.
    """

    def __init__(self) -> None:
        super().__init__(name=COMPILED)
        self.graph: Graph | None = None
        self.tracked: Sequence[Tracked] = ()

    def connect(self, graph: Graph, tracked: Sequence[Tracked]) -> None:
        """Takes the metrics of the outputs of a graph, in the place of those before."""
        for i in range(len(self.tracked)):
            delattr(self, f"metric_{i}")
        self.graph, self.tracked = graph, tuple(tracked)
        for i, one in enumerate(tracked):
            setattr(self, f"metric_{i}", one.metric)

    def update_state(self, y_true: Tree, y_pred: Tree, sample_weight: Tree = None) -> None:
        """Takes in a batch, in the structures that users have."""
        if self.graph is None:
            raise StateError(
                "The metrics of compile do not know the outputs of the model yet",
                hint="fit or evaluate first",
            )
        targets = by_output(self.graph, y_true, "targets")
        outputs = by_output(self.graph, y_pred, "outputs")
        if isinstance(sample_weight, (dict, list, tuple)):
            weights = by_output(self.graph, sample_weight, "sample weights")
        else:
            weights = [sample_weight] * len(outputs)
        for i, one in enumerate(self.tracked):
            given = (targets[one.output], outputs[one.output])
            weight = weights[one.output] if one.weighted else None
            metric = getattr(self, f"metric_{i}")
            if weight is None:
                metric.update_state(*given)
            else:
                metric.update_state(*given, sample_weight=weight)

    def result(self) -> dict[str, Any]:
        """Returns the value of each metric."""
        found: dict[str, Any] = {}
        for i, one in enumerate(self.tracked):
            value = getattr(self, f"metric_{i}").result()
            found.update(value if isinstance(value, Mapping) else {one.key: value})
        return found
