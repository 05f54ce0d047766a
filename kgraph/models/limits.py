"""The limits of `kgraph.config` on runs, to try a script out."""

from __future__ import annotations

from typing import Any

from kgraph import config
from kgraph.data import check_batch_size, is_dataset
from kgraph.types import Tree


def limited_epochs(epochs: int) -> int:
    """Returns at which index training ends; warns where the limit cuts it short."""
    return config.within_limit("epochs", epochs, config.max_epochs()) or 0


def limited_steps(x: Tree, batch_size: int | None, steps: int | None) -> tuple[int | None, Any]:
    """Returns batch size and steps; warns where the limit cuts an epoch short.

    Arrays keep their batch size: without the limit, steps alone would decide how large one is.
    """
    most = config.within_limit("steps_per_epoch", steps, config.max_steps_per_epoch())
    if most is not None and steps is None and not is_dataset(x):
        batch_size = check_batch_size(batch_size)
    return batch_size, most
