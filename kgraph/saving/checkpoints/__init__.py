"""Checkpoint: a folder of training checkpoints. It knows arrays and plain data, and no models."""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.saving.checkpoints.checkpoint import Checkpoint as Checkpoint
    from kgraph.saving.checkpoints.step_error import DamagedStepError as DamagedStepError
else:
    __getattr__, __dir__ = lazy_names(__name__)
