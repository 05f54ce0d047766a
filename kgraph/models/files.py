"""What a model writes to files and reads from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kgraph import export as exporting
from kgraph import saving
from kgraph.saving import PendingSave, WeightReport
from kgraph.types import FilePath

if TYPE_CHECKING:
    from kgraph.models.model import Model


def to_json(self: Model, **options: Any) -> str:
    """Returns the model (without weights) as JSON text; `options` go to `json.dumps`.

    Raises:
        ConfigError: an option of a layer, such as a lambda, cannot be written down.
    """
    return saving.model_to_json(self, **options)


def save(
    self: Model,
    filepath: FilePath,
    overwrite: bool = True,
    include_optimizer: bool = True,
    wait: bool = True,
) -> PendingSave | None:
    """Writes architecture, weights, compile options and optimizer state into one file.

    See `kgraph.saving.save_model`, also for folders, files of Keras' and `wait=False`.
    """
    return saving.save_model(self, filepath, overwrite, include_optimizer, wait)


def save_weights(
    self: Model,
    filepath: FilePath,
    overwrite: bool = True,
    max_shard_size: float | None = None,
) -> None:
    """Writes the weights alone into one file: `.kgraph`, `.safetensors` or `.weights.h5`.

    See `kgraph.saving.save_weights`, also for several files (`max_shard_size`).
    """
    saving.save_weights(self, filepath, overwrite, max_shard_size)


def load_weights(
    self: Model, filepath: FilePath, skip_mismatch: bool = False, strict: bool = True
) -> WeightReport:
    """Reads weights from a file into the layers of the same paths; says which.

    See `kgraph.saving.load_weights`.
    """
    return saving.load_weights(self, filepath, skip_mismatch, strict)


def export(
    self: Model,
    filepath: FilePath,
    weights: str = "beside",
    platforms: Sequence[str] | None = None,
    overwrite: bool = True,
) -> None:
    """Writes what the model computes at inference into one file, to be run without its code.

    See `kgraph.export.export`; `kgraph.export.load` reads the file.
    """
    exporting.export(self, filepath, weights, platforms, overwrite)
