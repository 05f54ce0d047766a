"""Meters: the metrics of a model, as Keras lists them: of the loss, of `compile`, and its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kgraph.graph.graph import Graph
from kgraph.layers.base.tree import members, parts_of
from kgraph.metrics import Mean, Metric
from kgraph.training.compile_options import CompileOptions
from kgraph.training.compiled_metrics import CompiledMetrics
from kgraph.training.objective import Objective

if TYPE_CHECKING:
    from kgraph.models.model import Model


class Meters:
    """What `compile` adds to the metrics of a model.

    Args:
        options: what it was given.

    Attributes:
        means: of the loss and, for several outputs, of their losses, by key.
        compiled: the metrics that it was given; None for none.
    """

    def __init__(self, options: CompileOptions) -> None:
        self.means: dict[str, Metric] = {"loss": Mean(name="loss")}
        has_any = options.metrics is not None or options.weighted_metrics is not None
        self.compiled = CompiledMetrics() if has_any else None

    @property
    def metrics(self) -> list[Metric]:
        """In Keras' order."""
        loss, *parts = self.means.values()
        return [loss, *([] if self.compiled is None else [self.compiled]), *parts]

    def connect(self, objective: Objective, graph: Graph) -> None:
        """Takes over what an objective has made of the options."""
        self.means.update(objective.means)
        if self.compiled is not None:
            self.compiled.connect(graph, objective.tracked)


def metrics_held(model: Model, model_class: type) -> list[Metric]:
    """Returns the metrics in attributes of a model, and of its layers but for models among them."""
    found: dict[int, Metric] = {}
    for part in parts_of(model):
        if part is model or not isinstance(part, model_class):
            found.update((id(metric), metric) for _, metric in members(part, Metric))
    return list(found.values())


def results(metrics: list[Metric]) -> dict[str, Any]:
    """Returns the value of each metric by name; those of one with several by their own names."""
    found: dict[str, Any] = {}
    for metric in metrics:
        value = metric.result()
        found.update(value if isinstance(value, Mapping) else {metric.name: value})
    return found
