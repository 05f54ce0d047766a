"""What an engine hands to the device: a function of the state, and what it is given besides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kgraph.compiler.executables import shapes_of
from kgraph.training.blocks import Cut, train_blocks
from kgraph.training.compilation import Form, Function
from kgraph.training.device_rows import DeviceRows
from kgraph.training.state import TrainState
from kgraph.training.step import Batch
from kgraph.types import Array

if TYPE_CHECKING:
    from kgraph.training.engine import Engine


@dataclass(frozen=True)
class Block:
    """Steps to run, but for the state and the bounds.

    Fields:
        function: of the state, the data and the bounds; gives the state away.
        form: what decides about the executable, besides the state.
        data: its arguments.
    """

    function: Function
    form: Form
    data: tuple[Any, ...]


def rows_block(engine: Engine, rows: DeviceRows, cut: Cut) -> Block:
    """Returns steps of an epoch over arrays on the device."""
    step = engine.train.step
    function = engine.function(
        ("train", cut), "train",
        lambda: train_blocks(step, cut, engine.spread(engine.pads_training)), donate=(0,), like=0,
    )  # fmt: skip
    form = (
        ("batch", (cut.size, cut.padded)), ("rows of an epoch", len(rows.order)),
        ("data", rows.form),
    )  # fmt: skip
    return Block(function, form, (rows.batch, rows.order, rows.count))


def batch_block(engine: Engine, batch: Batch, kept: Any) -> Block:
    """Returns one step on a batch. `kept` tells which of its rows count, if not all do."""
    step = engine.train.step

    def block(state: TrainState, batch: Batch, kept: Any) -> tuple[TrainState, Array]:
        state = step(state, batch, kept)
        return state, state.step

    function = engine.function("train batch", "train (one batch)", lambda: block, donate=(0,))
    return Block(function, (("data", shapes_of((batch, kept))),), (batch, kept))


def state_form(state: TrainState) -> Form:
    """Returns what of a state decides about the executable."""
    return (("state", shapes_of(state)),)
