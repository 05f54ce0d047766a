"""Metrics that layers update in their `call`: their variables are state of the program.

In a training they stand with the accumulators of other metrics, so that each epoch starts them
anew; a step puts them where the layers read them, and takes them back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kgraph.compiler import Program
from kgraph.layers.base.tree import members, parts_of
from kgraph.metrics import Metric
from kgraph.training.state import copied

if TYPE_CHECKING:
    from kgraph.layers.base import Layer
    from kgraph.training.own_loss import OwnLoss

HELD = "metrics of layers"
"""Under this accumulators have the states of such metrics; no log can have it."""

OWN = "metrics of the model"
"""Under this they have those of metrics that the model itself holds."""


def held_by_layers(model: Layer, program: Program, own: OwnLoss | None) -> HeldMetrics:
    """Returns the metrics that are state of a program; `own` sees to those of its own."""
    others = {} if own is None else own.metrics
    state = {id(place.weight) for place in program.weights.places if place.held}
    found = {id(m): m for part in parts_of(model) for _, m in members(part, Metric)}
    for metric in others.values():
        found.pop(id(metric), None)
    kept = [m for m in found.values() if any(id(v) in state for v in m.variables)]
    return HeldMetrics(kept, others)


@dataclass(frozen=True)
class HeldMetrics:
    """The metrics that the layers of a program update.

    Fields:
        metrics: those that are reset and logged here.
        others: those that the loss of the model's class updates as well, by their place in it.
    """

    metrics: Sequence[Metric] = ()
    others: Mapping[str, Metric] | None = None

    def init(self) -> dict[str, Any]:
        """Returns fresh accumulators."""
        fresh = [copied(metric.stateless_reset_state()) for metric in self.metrics]
        return {HELD: fresh} if fresh else {}

    def put(self, program: Program, variables: Any, own: Mapping[str, Any]) -> Any:
        """Returns the variables of a program with the states that metrics have."""
        layout = program.weights.layout_of(variables)
        held = {id(place.weight) for place in layout.places if place.held}
        if not held:
            return variables
        values = layout.by_weight(variables, ("state",))
        known = [*zip(self.metrics, own.get(HELD, ()))]
        known += [(metric, own[OWN][path]) for path, metric in (self.others or {}).items()]
        for metric, state in known:
            values |= {id(v): s for v, s in zip(metric.variables, state) if id(v) in held}
        return {**variables, **layout.nest(values, ("state",))}

    def taken(self, program: Program, variables: Any, state: Any) -> dict[str, Any]:
        """Returns the states of the metrics after a run."""
        if not self.metrics:
            return {}
        layout = program.weights.layout_of(variables)
        values = layout.by_weight({"state": state}, ("state",))
        return {HELD: [[values[id(v)] for v in metric.variables] for metric in self.metrics]}

    def results(self, accumulators: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the values of the metrics by name."""
        found: dict[str, Any] = {}
        for metric, state in zip(self.metrics, accumulators.get(HELD, ())):
            value = metric.stateless_result(state)
            found.update(value if isinstance(value, Mapping) else {metric.name: value})
        return found
