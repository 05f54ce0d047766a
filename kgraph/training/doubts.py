"""What a training can hardly be meant to do: told once, at the line that calls fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from kgraph.compiler import Program
from kgraph.losses import SparseCategoricalCrossentropy
from kgraph.source import warn
from kgraph.training.engine import Engine
from kgraph.training.objective import Objective
from kgraph.training.step import Batch

_ENOUGH = 32  # labels of one class that are hardly chance


def warn_of_doubts(engine: Engine, batch: Batch) -> None:
    """Warns of what is wrong before a step is taken.

    Args:
        engine: is going to train.
        batch: the first one.
    """
    program, objective = engine.program, engine.objective
    if not jax.tree.leaves(program.layout.trained.specs):
        warn("No weight of the model is trained: all are frozen (trainable=False), or it has none")
    if engine.own is not None or not objective.is_of_outputs:
        return
    if all(loss is None for loss in objective.losses) and not _adds_losses(program):
        warn("The loss is 0 in every step: compile was given no loss, and no layer adds one")
    for text in (*_single_softmax(program, objective.names), *_single_class(objective, batch)):
        warn(text)


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


def _adds_losses(program: Program) -> bool:
    adds = any("loss" in node.effects for node in program.graph.nodes)
    trained = (place.weight for place in program.layout.trained.places)
    return adds or any(weight.regularizer is not None for weight in trained)


def _single_softmax(program: Program, names: Sequence[str]) -> Iterator[str]:
    graph = program.graph
    for name, ref in zip(names, graph.outputs):
        node = graph.by_name[ref.node]
        activated = graph.layers[node.layer].traits.activation
        last = node.outputs[ref.index].dims[-1:]
        if activated is not None and activated.function == "softmax" and last == (1,):
            yield (
                f"The output {name!r} is a softmax over one unit, which is always 1: "
                "use a sigmoid, or a unit for each class"
            )


def _single_class(objective: Objective, batch: Batch) -> Iterator[str]:
    for name, loss, target in zip(objective.names, objective.losses, batch.targets):
        known = isinstance(loss, SparseCategoricalCrossentropy) and isinstance(target, np.ndarray)
        if known and target.size >= _ENOUGH and (target == target.flat[0]).all():
            yield (
                f"All labels of the first batch for {name!r} are {target.flat[0]}: shuffle the "
                "data, or look at how the labels were made"
            )
