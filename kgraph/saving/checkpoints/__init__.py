"""Checkpoint: a folder of training checkpoints. It knows arrays and plain data, and no models."""

from kgraph.saving.checkpoints.checkpoint import Checkpoint
from kgraph.saving.checkpoints.step_error import DamagedStepError

__all__ = ["Checkpoint", "DamagedStepError"]
