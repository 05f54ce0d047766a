"""Evaluation: accumulators of losses and metrics over batches, with weights that do not change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from kgraph.compiler.executables import shapes_of
from kgraph.layers.base.between_blocks import between_blocks
from kgraph.training.blocks import Cut, Found, after_batch, test_blocks
from kgraph.training.compilation import Form, Function
from kgraph.training.device_rows import DeviceRows
from kgraph.training.engine import Engine
from kgraph.training.state import TrainState, copied
from kgraph.training.step import Batch, Step
from kgraph.types import Array


class Evaluation:
    """One pass over data. Weights are read, not copied; a running training does not notice.

    Beside a training in another thread it computes with the weights of the last block that was done
    when it began.

    Args:
        engine: whose program and objective evaluate.
        like: a batch of the data, as shapes.
    """

    def __init__(self, engine: Engine, like: Batch) -> None:
        self._engine = engine
        self._metrics: Any = engine.fresh_metrics(engine.test, like)
        self._key = engine.evaluation_key()
        self._number = 0
        with between_blocks:
            self._kept = engine.variables() if engine.is_elsewhere else None
            engine.evaluations.add(self)
        self._form: Form = (("variables", shapes_of(self._variables())),)
        # State that layers assign goes from batch to batch, and stays; not beside a training.
        keeps = engine.keeps_state and self._kept is None
        self._state: Any = self._variables().state if keeps else None

    def keep(self) -> None:
        """Goes on with copies of the weights: a training is about to change them."""
        if self._kept is None:
            self._kept = copied(self._engine.variables())

    def rows(self, rows: DeviceRows, cut: Cut, start: int, stop: int) -> None:
        """Takes in the batches from `start` to `stop` of arrays on the device."""
        step = self._engine.test.step
        engine = self._engine

        def make() -> Callable[..., Any]:
            return test_blocks(step, cut, engine.spread(engine.pads_evaluation))

        function = engine.function(("test", cut), "evaluate", make, like=1, ticket=False)
        form = (("batch", (cut.size, cut.padded)), ("data", rows.form), *self._form)
        self._run(function, form, (rows.batch, np.int32(start), np.int32(stop)), stop - start)

    def batch(self, batch: Batch, kept: Any = None) -> None:
        """Takes in one batch. `kept` tells which of its rows count, if not all do."""
        step = self._engine.test.step
        function = self._engine.function(
            "test batch", "evaluate (one batch)", lambda: _one_batch(step), like=1, ticket=False
        )
        form = (("data", shapes_of((batch, kept))), *self._form)
        self._run(function, form, (batch, kept, np.int32(self._number)), 1)
        self._number += 1

    def _variables(self) -> TrainState:
        with between_blocks:
            return replace(self._kept or self._engine.variables(), key=self._key)

    def _run(self, function: Function, form: Form, data: tuple[Any, ...], steps: int) -> None:
        engine = self._engine
        executable = function.known(form)
        if executable is None:
            found = (self._metrics, self._state)
            executable = function.prepared(form, self._variables(), found, *data)
        engine.test_throttle.ready()
        with (
            between_blocks,
            engine.compiler.eagerly(),
        ):  # a callback, or a thread, may have set weights
            found = executable(self._variables(), (self._metrics, self._state), *data)
        self._metrics, self._state = found
        engine.test_throttle.sent(jax.tree.leaves(self._metrics)[0], steps)

    def logs(self) -> dict[str, Any]:
        """Returns losses and metrics so far, by key in alphabetical order."""
        logs = self._engine.results.of(self._metrics)
        self._engine.test_throttle.fetched()
        return logs

    def end(self) -> None:
        """Leaves state and metrics as the last batch has left them."""
        self._engine.evaluations.discard(self)
        if self._state is not None and self._kept is None:  # else a training goes on with its own
            self._engine.keep_state(self._state)
        if self._engine.own is not None:
            self._engine.own.keep(self._metrics)
        elif not self._engine.is_running:
            self._engine.objective.keep(self._metrics)


def _one_batch(step: Step) -> Callable[..., Any]:
    def block(variables: TrainState, found: Found, batch: Batch, kept: Any, number: Array) -> Found:
        return after_batch(step, variables, found, batch, kept, number)

    return block
