"""A training step as shapes: what goes in, what it computes and where it lies; nothing is made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from kgraph.compiler.layout import Layout
from kgraph.training.engine import Engine
from kgraph.training.placement import as_before
from kgraph.training.state import TrainState
from kgraph.training.step import Batch, Step
from kgraph.types import Array


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

    def __call__(self, state: TrainState, batch: Batch, kept: Array | None = None) -> TrainState:
        return self.step(state, batch, kept)


def abstract_step(engine: Engine, batch: Batch) -> AbstractStep:
    """Returns the step of an engine, for batches like these abstract arrays."""
    placement, step = engine.placement, engine.train.step
    state, results = abstract_state(engine, engine.packing.layout), None
    if placement is not None:
        batch, results = placement.batch_specs(batch), as_before(0, None)((state,))
    return AbstractStep(step, state, batch, results)


def abstract_state(engine: Engine, layout: Layout) -> TrainState:
    """Returns shapes and dtypes of an engine's state, and on several devices where arrays lie.

    Args:
        layout: `program.weights.layout` for an array for each weight of each layer, what is saved;
            `engine.packing.layout` for the state as it is while the engine runs.
    """
    assert engine.optimizer is not None
    variables = layout.specs
    state = TrainState(
        variables["params"], variables["state"],
        jax.eval_shape(engine.optimizer._kgraph_init, layout.split(variables["params"])[0]),
        jax.eval_shape(partial(engine.train.init, engine.like)),
        jax.eval_shape(lambda: jax.random.key(0, impl="threefry2x32")),
        jax.ShapeDtypeStruct((), np.int32),
    )  # fmt: skip
    return state if engine.placement is None else engine.placement.specs(layout, state)
