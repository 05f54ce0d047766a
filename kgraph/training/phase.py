"""Phase: what an engine runs in training or in evaluation, however it came about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kgraph.compiler import Program
from kgraph.optimizers import Optimizer
from kgraph.training.objective import Objective
from kgraph.training.step import Batch, Step, make_test_step, make_train_step


@dataclass(frozen=True)
class Phase:
    """A step and the accumulators that it fills.

    Fields:
        step: from state and batch to state.
        init: makes fresh accumulators for batches like one.
        results: from accumulators to what is logged, by key. Pure.
    """

    step: Step
    init: Callable[[Batch], Any]
    results: Callable[[Any], Mapping[str, Any]]


def phases(
    program: Program, objective: Objective, optimizer: Optimizer | None
) -> tuple[Phase, Phase]:
    """Returns training and evaluation of a program by losses and metrics of its outputs."""
    test = Phase(make_test_step(program, objective), lambda _: objective.init(), objective.results)
    if optimizer is None:
        return test, test
    return replace(test, step=make_train_step(program, objective, optimizer)), test
