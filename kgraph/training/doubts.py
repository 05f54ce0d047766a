"""What a training can hardly be meant to do: told once, at the line that calls fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakSet

import jax
import numpy as np

from kgraph.compiler import Program
from kgraph.declared import is_own
from kgraph.layers.base.tree import parts_of, walk_weights
from kgraph.losses import SparseCategoricalCrossentropy
from kgraph.source import warn
from kgraph.training.engine import Engine
from kgraph.training.objective import Objective
from kgraph.training.step import Batch
from kgraph.types import Array, Params

_ENOUGH = 32  # labels of one class that are hardly chance

_traced: WeakSet[Engine] = WeakSet()
"""Whose weights have been looked at: once is enough, and traces the model's code once more."""


def warn_of_doubts(engine: Engine, batch: Batch) -> None:
    """Warns of what is wrong before a step is taken.

    Args:
        engine: is going to train.
        batch: the first one.
    """
    program, objective = engine.program, engine.objective
    if not jax.tree.leaves(program.weights.layout.trained.specs):
        warn("No weight of the model is trained: all are frozen (trainable=False), or it has none")
    if engine.own is not None or not objective.is_of_outputs:
        return
    if all(loss is None for loss in objective.losses) and not _adds_losses(program):
        warn("The loss is 0 in every step: compile was given no loss, and no layer adds one")
        return
    for text in _single_class(objective, batch):
        warn(text)
    if not engine.compiler.eager and engine not in _traced:
        _traced.add(engine)
        if idle := _idle_layers(program, batch):
            warn(
                "No output depends on the weights of "
                + ", ".join(map(repr, idle))
                + ", so training leaves them as they are"
            )


def warn_of_loss(logs: Mapping[str, Any], before: Mapping[str, Any], program: Program) -> None:
    """Warns of the first epoch whose loss is no number.

    Args:
        logs: of the epoch that has ended.
        before: of the one before.
        program: what is trained.
    """
    loss = logs.get("loss", 0.0)
    if math.isfinite(loss) or not math.isfinite(before.get("loss", 0.0)):
        return
    half = any(spec.dtype == "float16" for node in program.graph.nodes for spec in node.outputs)
    warn(
        f"The loss is {loss}: fit(check_finite=True) stops at the first step and names the layer"
        + (" (float16 ends at 65504: a loss scale, or bfloat16)" if half else "")
    )


def _idle_layers(program: Program, batch: Batch) -> list[str]:
    """Returns the layers of which no trained weight takes part in an output or an added loss.

    Calls of kgraph's own layers use all their weights. So the model's code is traced only where
    there are other layers, or layers that no output needs.
    """
    from jax.extend.core import Literal  # late: it brings Pallas along (13 ms)

    graph = program.flat_graph
    called = [program.layers[name] for name in dict.fromkeys(node.layer for node in graph.calls)]
    used = {id(weight) for layer in called for _, weight, _ in walk_weights(layer)}
    trained = program.weights.layout.trained.places
    theirs = any(not is_own(type(part)) for layer in called for part in parts_of(layer))
    if not theirs and used >= {id(p.weight) for p in trained}:
        return []

    def scored(params: Params, state: Params, inputs: list[Any], key: Array) -> list[Array]:
        variables = {"params": params, "state": state}
        run = program.run(variables, inputs, training=True, key=key, observe=lambda *_: None)
        return [*run.outputs, *run.losses]

    specs = program.specs()
    key = jax.eval_shape(lambda: jax.random.key(0))
    jaxpr = jax.make_jaxpr(scored)(specs["params"], specs["state"], batch.inputs, key).jaxpr
    read = {v for v in jaxpr.outvars if not isinstance(v, Literal)}
    for equation in reversed(jaxpr.eqns):
        if not read.isdisjoint(equation.outvars):
            read.update(v for v in equation.invars if not isinstance(v, Literal))
    leaves, structure = jax.tree.flatten(specs["params"])
    flags = structure.unflatten([v in read for v in jaxpr.invars[: len(leaves)]])
    reads = program.weights.layout.by_weight({"params": flags}, ("params",))
    counts: dict[str, bool] = {}
    for place in trained:
        path, weight = "/".join(place.path[:-1] or place.path), place.weight
        counted = reads[id(weight)] or weight.regularizer is not None
        counts[path] = counts.get(path, False) or counted
    return [path for path, counted in counts.items() if not counted]


def _adds_losses(program: Program) -> bool:
    adds = any("loss" in node.effects for node in program.graph.nodes)
    trained = (place.weight for place in program.weights.layout.trained.places)
    return adds or any(weight.regularizer is not None for weight in trained)


def _single_class(objective: Objective, batch: Batch) -> Iterator[str]:
    for name, loss, target in zip(objective.names, objective.losses, batch.targets):
        known = isinstance(loss, SparseCategoricalCrossentropy) and isinstance(target, np.ndarray)
        if known and target.size >= _ENOUGH and (target == target.flat[0]).all():
            yield (
                f"All labels of the first batch for {name!r} are {target.flat[0]}: shuffle the "
                "data, or look at how the labels were made"
            )
