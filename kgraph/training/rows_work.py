"""Training and evaluation over arrays that are on the device: blocks of steps."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np

from kgraph.data import ArraySource
from kgraph.training.blocks import Cut
from kgraph.training.device_rows import DeviceRows
from kgraph.training.engine import Engine
from kgraph.training.evaluation import Evaluation
from kgraph.training.first_block import begin_rows
from kgraph.training.job import form_of
from kgraph.training.sizes import room_for_data


class TrainRows:
    """An epoch of training over arrays on the device.

    Args:
        engine: running.
        source: what decides the order of the rows.
        rows: its arrays, on the device.
        index: of the epoch.
        start: the first batch of it to train on.
    """

    def __init__(
        self, engine: Engine, source: ArraySource, rows: DeviceRows, index: int, start: int = 0
    ) -> None:
        self._engine, self._done = engine, start
        order = source.row_order(index)
        source.warn_if_short(index)
        size = min(source.batch_size, source.rows)
        self.full, self._rest = divmod(len(order), size)
        pads = engine.pads_training
        self._cut = Cut(size, source.rows % size > 0 and pads, engine.loops(rows.batch, size))
        self._main = -(-len(order) // size) if pads else self.full
        self.total = -(-len(order) // size)
        # One length for all epochs, and for most sizes of data: one executable.
        room = np.zeros(room_for_data(source.steps * size, order.itemsize), np.int32)
        room[: len(order)] = order
        self._rows = replace(rows, order=engine.put_whole(room), count=np.int32(len(order)))
        self._tail = order[self.full * size :]
        self.examples, self.form = 0, form_of(rows.batch)

    def begin(self) -> None:
        """Has XLA begin with the first block."""
        if self._done < self._main:
            begin_rows(self._engine, self._rows, self._cut)

    def more(self) -> bool:
        """Tells whether there is another step."""
        return self._done < self.total

    def run(self, limit: int) -> int:
        """Hands at most `limit` steps to the device; returns how many."""
        engine, done = self._engine, self._done
        if done < self._main:
            steps = min(limit if self._cut.looped else 1, self._main - done)
            engine.train_rows(self._rows, self._cut, done, done + steps)
        elif engine.pads_last:  # of layers that are told so; whole batches are faster without
            steps = 1
            engine.train_rows(self._rows, replace(self._cut, padded=True), done, done + 1)
        else:  # the last batch, of a model that mixes rows: it cannot be padded
            steps = 1
            cut = replace(self._cut, size=self._rest)
            tail = engine.put_whole(self._tail.astype(np.int32))
            rows = replace(self._rows, order=tail, count=np.int32(self._rest))
            engine.train_rows(rows, cut, 0, 1)
        self._done += steps
        size, last = self._cut.size, self.full * self._cut.size + self._rest
        self.examples = min(self._done * size, last) - done * size
        return steps

    def close(self) -> None:
        """Ends the epoch."""


class TestRows:
    """An evaluation over arrays on the device, in their order.

    Args:
        evaluation: what takes the batches in.
        engine: whose rules for padding hold.
        source: what decides the size of batches.
        rows: its arrays, on the device.
    """

    __test__ = False  # not a test for pytest, in spite of its name

    def __init__(
        self, evaluation: Evaluation, engine: Engine, source: ArraySource, rows: DeviceRows
    ) -> None:
        self._evaluation, self._rows, self._done = evaluation, rows, 0
        size = min(source.batch_size, source.rows)
        full, self._rest = divmod(source.rows, size)
        pads = engine.pads_evaluation
        self._cut = Cut(size, self._rest > 0 and pads, engine.loops(rows.batch, size))
        self.total = min(-(-source.rows // size), source.steps)
        self._main = self.total if pads else min(full, self.total)
        source.warn_if_short(0)

    def more(self) -> bool:
        """Tells whether there is another batch."""
        return self._done < self.total

    def run(self, limit: int) -> int:
        """Hands at most `limit` batches to the device; returns how many."""
        done = self._done
        if done < self._main:
            steps = min(limit if self._cut.looped else 1, self._main - done)
            self._evaluation.rows(self._rows, self._cut, done, done + steps)
        else:
            steps = 1
            low = self._main * self._cut.size
            tail = jax.tree.map(lambda a: a[low:], self._rows.batch)
            self._evaluation.batch(tail)
        self._done += steps
        return steps

    def close(self) -> None:
        """Ends the evaluation."""
