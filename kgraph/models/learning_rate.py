"""A learning rate to begin with: training on a copy while the rate grows, until the loss does."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kgraph.errors import ConfigError, StateError
from kgraph.optimizers import LossScaleOptimizer, Optimizer, serialize
from kgraph.tables import Table, Tabular
from kgraph.training.callbacks import Callback
from kgraph.types import DataLike, FilePath
from kgraph.visualization.figures import finished, pyplot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kgraph.models.model import Model

_TOO_HIGH = 4.0
_SMOOTHING = 0.9
_ROWS = 12


@dataclass(frozen=True, repr=False)
class LearningRates(Tabular):
    """The losses that were met while the learning rate grew; a notebook shows them as a table.

    Fields:
        rates: one for each step, growing by the same factor.
        losses: of these steps, smoothed.
    """

    rates: np.ndarray
    losses: np.ndarray

    @property
    def suggestion(self) -> float:
        """The rate at which the loss falls fastest, before it is least.

        The first tenth, in which the mean has seen few batches, does not count.
        """
        first = len(self.losses) // 10
        least = first + int(self.losses[first:].argmin())
        slopes = np.gradient(self.losses, np.log(self.rates))
        return float(self.rates[first + int(slopes[first : least + 1].argmin())])

    def plot(self, path: FilePath | None = None) -> Figure:
        """Draws the losses with the suggestion, into a file as well if wanted. Needs matplotlib."""
        figure, axis = pyplot().subplots(figsize=(5, 3), layout="constrained")
        axis.plot(self.rates, self.losses)
        axis.axvline(self.suggestion, linestyle="--", color="gray")
        axis.set(xscale="log", xlabel="learning rate", ylabel="loss")
        axis.set_title(f"suggestion: {self.suggestion:.2g}")
        return finished(figure, path)

    def _kgraph_table(self) -> Table:
        every = max(len(self.rates) // _ROWS, 1)
        cells = [
            (f"{r:.2g}", f"{v:.4g}") for r, v in zip(self.rates[::every], self.losses[::every])
        ]
        title = f"Learning rate: {self.suggestion:.2g} is where the loss falls fastest"
        return Table(title, [("rate", "loss"), *cells], right=(0, 1))


def find_learning_rate(
    self: Model,
    x: DataLike,
    y: DataLike | None = None,
    batch_size: int | None = None,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
) -> LearningRates:
    """Trains a copy of the model while the rate grows, and suggests one to begin with.

    The model, its optimizer and its random numbers stay as they are. It ends when the loss has
    grown to four times the least one.

    Args:
        x, y, batch_size: as in `fit`.
        lowest, highest: the first and the last rate.
        steps: how many steps to train at most.

    Raises:
        ConfigError: the rates or the number of steps make no sense.
        LearningRateError: the rate of an optax transformation cannot be set.
        StateError: the model is not compiled, has no optimizer, or the loss was never finite.
    """
    if not (0 < lowest < highest and steps >= 10):
        raise ConfigError(
            "find_learning_rate needs rates that grow, and steps to grow in",
            expected="0 < lowest < highest, and at least 10 steps",
            received=f"lowest={lowest}, highest={highest}, steps={steps}",
        )
    self._kgraph.trainer.require_compiled("find_learning_rate")
    ramp = _Ramp(np.geomspace(lowest, highest, steps))
    twin = copy.deepcopy(self)
    assert twin.optimizer is not None
    twin.optimizer = _with_number(twin.optimizer, lowest)
    twin.fit(x, y, batch_size=batch_size, epochs=steps, verbose=0, callbacks=[ramp], seed=0)
    if len(ramp.losses) < 3:
        raise StateError(
            "The loss is no number from the beginning", hint="fit(check_finite=True) says where"
        )
    return LearningRates(ramp.rates[: len(ramp.losses)], np.array(ramp.losses))


def _with_number(optimizer: Optimizer, rate: float) -> Optimizer:
    """Returns an optimizer whose rate can be set: one that follows a schedule is made anew."""
    if optimizer._kgraph_schedule is None:
        return optimizer
    changed: dict[str, Any] = {"learning_rate": rate}
    if isinstance(optimizer, LossScaleOptimizer):
        changed = {"inner_optimizer": serialize(_with_number(optimizer.inner_optimizer, rate))}
    return type(optimizer).from_config(optimizer.get_config() | changed)


class _Ramp(Callback):
    """Raises the rate with each batch, and keeps the loss of each alone."""

    def __init__(self, rates: np.ndarray) -> None:
        self.rates, self.losses = rates, []
        self._step = 0
        self._average = self._sum = 0.0

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        self._sum = self._sum if batch else 0.0
        self.model.optimizer.learning_rate = float(self.rates[self._step])

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        total = (logs or {})["loss"] * (batch + 1)  # what is logged is the mean of the epoch
        loss, self._sum = total - self._sum, total
        self._step += 1
        self._average = _SMOOTHING * self._average + (1 - _SMOOTHING) * loss
        smooth = self._average / (1 - _SMOOTHING**self._step)
        ended = not math.isfinite(smooth) or smooth > _TOO_HIGH * min(self.losses, default=smooth)
        if not ended:
            self.losses.append(smooth)
        if ended or self._step == len(self.rates):
            self.model.stop_training = True
