"""The first block of a training, which XLA makes while the initial values are drawn.

Both take seconds, and neither needs the other: shapes are enough to compile for.
"""

from __future__ import annotations

import jax
import numpy as np

from kgraph.training.abstract_step import abstract_state
from kgraph.training.block import Block, batch_block, rows_block, state_form
from kgraph.training.blocks import Cut
from kgraph.training.device_rows import DeviceRows
from kgraph.training.engine import Engine
from kgraph.training.reached import Reached
from kgraph.training.state import TrainState
from kgraph.training.step import Batch


def is_first(engine: Engine, reached: Reached) -> bool:
    """Tells whether values are still to be drawn, and the state can be told without them."""
    if engine.own is not None or engine.objective.own is not None or reached.optimizer is not None:
        return False
    return any(not place.weight.has_value for place in engine.program.weights.places)


def begin_rows(engine: Engine, rows: DeviceRows, cut: Cut) -> None:
    """Has XLA begin with steps over arrays on the device."""
    _begin(engine, rows_block(engine, rows, cut), (np.int32(0), np.int32(0)))


def begin_batch(engine: Engine, batch: Batch, kept: object = None) -> None:
    """Has XLA begin with a step on a batch."""
    _begin(engine, batch_block(engine, batch, kept), ())


def _begin(engine: Engine, block: Block, bounds: tuple[np.int32, ...]) -> None:
    state = abstract_state(engine, engine.packing.layout)
    form = (*block.form, *state_form(_on_default_device(state)))
    block.function.begin(form, state, *block.data, *bounds)


def _on_default_device(state: TrainState) -> TrainState:
    """Returns shapes with where arrays are going to lie of which nothing is said."""
    here = jax.device_put(np.int32(0)).sharding

    def lying(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        where = here if leaf.sharding is None else leaf.sharding
        return jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=where, weak_type=leaf.weak_type
        )

    return jax.tree.map(lying, state)
