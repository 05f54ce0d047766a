"""The loss of a model that computes it itself: its class overrides `compute_loss`.

It runs as `call` does, on a bound copy of the model: weights are the arrays of the step, random
numbers come from the step's key, and metrics that the model holds have the state of the epoch.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from kgraph.compiler import Program, Run
from kgraph.errors import ConfigError, StateError
from kgraph.graph.structure import fill
from kgraph.hooks import is_overridden
from kgraph.layers.base.binding import bind, updates
from kgraph.layers.base.context import Context
from kgraph.layers.base.core import label_of
from kgraph.layers.base.tree import members
from kgraph.metrics import Metric
from kgraph.training.state import copied
from kgraph.types import Array, Function


@dataclass(frozen=True)
class OwnLoss:
    """How a step calls `compute_loss`.

    Fields:
        model: whose it is.
        metrics: those that the model holds, by their place in it, which the loss may update.
        listed: those of them that the class lists in `metrics`: nothing else is logged then, as in
            Keras. None if it does not say.
    """

    model: Any
    metrics: Mapping[str, Metric]
    listed: Sequence[Metric] | None = None

    @staticmethod
    def of(model: Any, compiled: Sequence[Metric] = ()) -> OwnLoss:
        """Returns that of a model, with the metrics in its attributes.

        `compiled` are those that `compile` has added, which `super().metrics` lists.
        """
        held = dict(members(model, Metric))
        if not is_overridden(model, "metrics"):
            return OwnLoss(model, held)
        listed = list(model.metrics)
        for metric in listed:
            if not any(metric is own for own in (*held.values(), *compiled)):
                raise StateError(
                    f"{label_of(model)} lists a metric that none of its attributes holds",
                    received=metric.name,
                    hint=f"self.{metric.name} = ... in __init__",
                )
        return OwnLoss(model, held, listed)

    def init(self) -> dict[str, Any]:
        """Returns fresh states of the metrics."""
        return copied({path: m.stateless_reset_state() for path, m in self.metrics.items()})

    def results(self, states: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the values of the metrics by name; of equal names the last one counts."""
        found: dict[str, Any] = {}
        for path, metric in self.metrics.items():
            if self.listed is not None and not any(metric is own for own in self.listed):
                continue
            value = metric.stateless_result(states[path])
            found.update(value if isinstance(value, Mapping) else {metric.name: value})
        return found

    def keep(self, states: Mapping[str, Any]) -> None:
        """Leaves the model's metrics with what they have seen, for who asks them afterwards."""
        for path, metric in self.metrics.items():
            for variable, value in zip(metric.variables, states[path]):
                variable.assign(value)

    def __call__(
        self, program: Program, variables: Any, batch: Any, run: Run, key: Array | None,
        training: bool, states: Mapping[str, Any],
    ) -> tuple[Array, Any, dict[str, Any]]:  # fmt: skip
        """Returns the loss, the state of the layers after it, and the states of the metrics.

        Args:
            program: has run.
            variables: those that it has run on.
            batch: what it has run on.
            run: what it gave.
            key: of the step; None if nothing is random.
            training: whether layers that the loss calls are in training.
            states: of the metrics, before.
        """
        layout = program.weights.layout_of(variables)
        values = layout.by_weight({"params": variables["params"], "state": run.state})
        own = {path: metric.variables for path, metric in self.metrics.items()}
        for path, held in own.items():
            for variable, value in zip(held, states[path]):
                values.setdefault(id(variable), value)  # unless `call` has updated it
        # Not the keys that the run has drawn from.
        context = Context(values, training, None if key is None else jax.random.fold_in(key, 1))
        for output, mask in zip(run.outputs, run.masks):
            context.set_mask(output, mask)
        copy = bind(self.model, context, self.model.name)
        copy._kgraph.losses = list(run.losses)
        with context.entering(copy._kgraph.segment, training):
            total = _scalar(
                self.model, copy.compute_loss(**self._given(program, batch, run, training))
            )
        _refuse_others(self.model, context, values)
        after = layout.nest({**context.values, **updates(context)}, ("state",))["state"]
        seen = {path: [context.values[id(v)] for v in held] for path, held in own.items()}
        return total, after, seen

    def _given(self, program: Program, batch: Any, run: Run, training: bool) -> dict[str, Any]:
        """Returns the arguments, in the structures that users know."""
        graph = program.model_graph
        outputs = run.outputs[: len(program.output_names)]

        def by_output(values: list[Any]) -> Any:
            if all(value is None for value in values):
                return None
            return values[0] if len(values) == 1 else fill(graph.output_structure, values)

        given = {
            "x": fill(graph.input_structure, batch.inputs),
            "y": by_output(batch.targets),
            "y_pred": fill(graph.result_structure, outputs),
            "sample_weight": by_output(batch.weights),
        }
        if takes_training(self.model.compute_loss):
            given["training"] = training
        return given


def takes_training(compute_loss: Function) -> bool:
    """Tells whether a `compute_loss` has the argument `training`: it may lack that."""
    takes = inspect.signature(compute_loss).parameters.values()
    return any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in takes)


def _scalar(model: Any, value: Any) -> Array:
    loss = jnp.asarray(value)
    if loss.shape != ():
        raise ConfigError(
            f"compute_loss of {label_of(model)} returned an array",
            expected="a scalar",
            received=str(list(loss.shape)),
            hint="keras.ops.mean(...)",
        )
    return loss


def _refuse_others(model: Any, context: Context, values: Mapping[int, Any]) -> None:
    """Raises StateError for a weight that is not the step's: it would stay as it is now."""
    for copy in context.bound.values():
        for weight in copy._kgraph.origin._kgraph.weights:
            if id(weight) not in values:
                raise StateError(
                    f"compute_loss of {label_of(model)} has a weight that is not in its graph",
                    received=weight.path,
                    hint=[
                        "make the model by a call method, not by Model(inputs, outputs), and",
                        "call or build before fit what the loss alone uses",
                    ],
                )
