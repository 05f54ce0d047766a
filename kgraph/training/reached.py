"""Reached: how far a model has been trained, which is where the next training goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kgraph.types import Array


@dataclass
class Reached:
    """What a training leaves behind for the next one, beside the weights.

    Fields:
        optimizer: the optimizer's state, packed or by parameter; None before the first step, and
            while an engine has the only copy.
        step, epoch: counted since the model was compiled.
        key: the raw key that random numbers come from.
        names: which parameters `optimizer` is for; None for what came from a file.
    """

    optimizer: Any
    step: Array | np.integer
    epoch: Array | np.integer
    key: Array | np.ndarray
    names: Any = None

    def count_epochs(self, epochs: int) -> None:
        """Takes the number of epochs that are done."""
        self.epoch = np.int32(epochs)

    def as_tree(self) -> dict[str, Any]:
        """Returns what is saved of it."""
        return {
            "optimizer": self.optimizer, "step": self.step, "epoch": self.epoch, "key": self.key
        }  # fmt: skip
