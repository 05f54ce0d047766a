"""A training step as shapes: what goes in, what it computes and where it lies; nothing is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kgraph.training.engine import Engine
from kgraph.training.placement import as_before
from kgraph.training.state import TrainState
from kgraph.training.step import Batch, Step


@dataclass(frozen=True)
class AbstractStep:
    """A training step and the shapes of its arguments.

    Fields:
        step: from state and batch to state.
        state, batch: shapes, dtypes and, on several devices, shardings.
        results: where the state lies after it; None for one device.
    """

    step: Step
    state: TrainState
    batch: Batch
    results: Any

    def __call__(self, state: TrainState, batch: Batch) -> TrainState:
        return self.step(state, batch, None)


def abstract_step(engine: Engine, batch: Batch) -> AbstractStep:
    """Returns the step of an engine, for batches like these abstract arrays."""
    placement, step = engine.placement, engine.train.step
    state, results = engine.abstract_running_state, None
    if placement is not None:
        batch, results = placement.batch_specs(batch), as_before(0, None)((state,))
    return AbstractStep(step, state, batch, results)
