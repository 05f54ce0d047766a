"""Models as bytes in memory: what a `.kgraph` file holds. So they are pickled."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgraph.saving.load import load_model
from kgraph.saving.save import save_model
from kgraph.types import CustomObjects
from kgraph.writing import write_file

if TYPE_CHECKING:
    from kgraph.models.model import Model


def model_to_bytes(model: Model) -> bytes:
    """Returns what a `.kgraph` file of a model holds: weights and training with it.

    Raises:
        ConfigError: the model cannot be saved.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.kgraph"
        save_model(model, path)
        return path.read_bytes()


def model_from_bytes(contents: bytes, custom_objects: CustomObjects | None = None) -> Any:
    """Returns the model that a `.kgraph` file with these contents holds; no code of it is run.

    Args:
        contents: of the file.
        custom_objects: classes of your own by name, as in `load_model`.

    Raises:
        ModelFileError: the contents are damaged.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.kgraph"
        write_file(path, contents)
        return load_model(path, custom_objects)
