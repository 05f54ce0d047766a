"""From what the user gave to `compile` to an Objective for one model's outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from kgraph import losses, metrics
from kgraph.compiler.passes.expose_logits import final_activation, is_linear
from kgraph.errors import ConfigError
from kgraph.graph.graph import Graph
from kgraph.source import warn
from kgraph.training.custom_loss import LossFn
from kgraph.training.objective import Objective, Tracked
from kgraph.training.pairing import by_output, output_keys
from kgraph.types import Array, Shape


@dataclass(frozen=True)
class CompileOptions:
    """What the user gave to `compile`, as given.

    Fields:
        loss, loss_weights, metrics, weighted_metrics, loss_fn: see `Model.compile`.
    """

    loss: Any = None
    loss_weights: Any = None
    metrics: Any = None
    weighted_metrics: Any = None
    loss_fn: LossFn | None = None

    @property
    def is_given(self) -> bool:
        """Whether there is anything about the outputs of the model."""
        return any(v is not None for v in (self.loss, self.metrics, self.weighted_metrics))


def make_objective(
    options: CompileOptions,
    graph: Graph,
    target_shapes: Sequence[Shape | None],
    means: Mapping[str, metrics.Metric] | None = None,
) -> Objective:
    """Binds compile options to the outputs of a graph.

    Args:
        options: what the user gave.
        graph: the model's graph.
        target_shapes: public shape of each output's targets, or None where there are none.
        means: of the losses by key, as far as there are any already.
    """
    names = output_keys(graph)
    shapes = [graph.spec(ref).shape for ref in graph.outputs]
    found = _losses(options.loss, graph, target_shapes, shapes)
    factors = by_output(graph, options.loss_weights, "loss_weights") if (
        options.loss_weights is not None
    ) else [1.0] * len(names)  # fmt: skip
    weights = [1.0 if factor is None else float(factor) for factor in factors]
    tracked = _tracked(options, graph, found, target_shapes, shapes)
    _warn_of_linear_outputs(names, found, graph)
    logits = tuple(i for i, loss in enumerate(found) if loss is not None and _fits(graph, i, loss))
    known = means or {}
    return Objective(names, found, weights, tracked, logits, options.loss_fn, known=known)


def plain_loss(
    options: CompileOptions,
    y: Any,
    y_pred: Any,
    sample_weight: Any,
    terms: Sequence[Array],
) -> Array:
    """Returns the loss of one output that belongs to no graph, with terms that come from elsewhere.

    Raises:
        ConfigError: there is none, or several outputs would need one each.
    """
    total = jnp.zeros((), jnp.float32)
    if options.loss is not None:
        if not hasattr(y, "shape") or not hasattr(y_pred, "shape"):
            raise ConfigError(
                "Outputs of a model without a graph are paired with losses by the user",
                hint="write compute_loss, or call the model once so that its outputs are known",
            )
        loss: Any = losses.resolve(options.loss, y.shape, y_pred.shape)
        total = total + loss(y, y_pred, sample_weight=sample_weight)
    return sum((jnp.asarray(term, jnp.float32) for term in terms), start=total)


def check_options(options: CompileOptions, graph: Graph | None) -> None:
    """Raises ConfigError for names that mean nothing, before there are any data.

    Args:
        options: what the user gave.
        graph: the model's graph, against which keys of dicts are checked; None if not known yet.
    """
    for item in _items(options.loss):
        losses.resolve(item, (None, 1), (None, 1))
    for item in (*_items(options.metrics), *_items(options.weighted_metrics)):
        metrics.resolve(item, (None, 1), (None, 1))
    if graph is None:
        return
    for what, given in (("losses", options.loss), ("loss_weights", options.loss_weights)):
        if isinstance(given, (list, tuple, Mapping)) and not _is_description(given):
            by_output(graph, given, what)
    _metrics_by_output(graph, options.metrics)
    _metrics_by_output(graph, options.weighted_metrics)


def _items(given: object) -> Iterator[Any]:
    """Yields each loss or metric in a nested list or dict."""
    if isinstance(given, Mapping) and not _is_description(given):
        given = list(given.values())
    if isinstance(given, (list, tuple)):
        for item in given:
            yield from _items(item)
    elif isinstance(given, (str, type)):
        yield given


def _warn_of_linear_outputs(names: Sequence[str], found: Sequence[Any], graph: Graph) -> None:
    """Warns where a loss of probabilities gets the output of a layer without activation."""
    for i, (name, loss) in enumerate(zip(names, found)):
        if loss is not None and loss._kgraph_on_logits() is not None and is_linear(graph, i):
            warn(
                f"{loss.name} takes probabilities, and the output {name!r} has no softmax or "
                "sigmoid: give its layer an activation, or the loss from_logits=True",
            )


def _fits(graph: Graph, index: int, loss: Any) -> bool:
    """Tells whether the output ends in the function that the loss would undo."""
    found = loss._kgraph_on_logits(final_activation(graph, index))
    return found is not None and getattr(loss, "axis", -1) == -1


def _losses(
    given: object, graph: Graph, target_shapes: Sequence[Any], shapes: Sequence[Shape]
) -> list[Any]:
    single = not isinstance(given, (list, tuple, Mapping)) or _is_description(given)
    spread = [given] * len(shapes) if single else by_output(graph, given, "losses")
    return [
        losses.resolve(item, target or (), shape)
        for item, target, shape in zip(spread, target_shapes, shapes)
    ]


def _is_description(value: object) -> bool:
    return isinstance(value, Mapping) and set(value) >= {"class_name", "config"}


def _tracked(
    options: CompileOptions,
    graph: Graph,
    found: Sequence[Any],
    target_shapes: Sequence[Any],
    shapes: Sequence[Shape],
) -> list[Tracked]:
    names = output_keys(graph)
    tracked: list[Tracked] = []
    taken = {"loss", *(f"{name}_loss" for name in names)} if len(names) > 1 else {"loss"}
    for weighted, given in ((False, options.metrics), (True, options.weighted_metrics)):
        for index, items in enumerate(_metrics_by_output(graph, given)):
            for item in items:
                target = target_shapes[index]
                if target is None:
                    raise ConfigError(f"The output {names[index]!r} has metrics and no targets")
                metric = metrics.resolve(item, target, shapes[index], found[index])
                base = metric.name if len(names) == 1 else f"{names[index]}_{metric.name}"
                if weighted and base in taken:
                    base = base.removesuffix(metric.name) + f"weighted_{metric.name}"
                key = _free_key(base, taken)
                taken.add(key)
                tracked.append(Tracked(key, index, metric, weighted))
    return tracked


def _free_key(base: str, taken: set[str]) -> str:
    key, n = base, 0
    while key in taken:
        n += 1
        key = f"{base}_{n}"
    return key


def _metrics_by_output(graph: Graph, given: object) -> list[list[Any]]:
    names = output_keys(graph)
    if given is None:
        return [[] for _ in names]
    if len(names) == 1 and not isinstance(given, Mapping):
        given = [given if isinstance(given, (list, tuple)) else [given]]
        if len(given[0]) == 1 and isinstance(given[0][0], (list, tuple)):
            given = given[0]
    entries = by_output(graph, given, "metrics")
    return [
        [] if entry is None else list(entry) if isinstance(entry, (list, tuple)) else [entry]
        for entry in entries
    ]
