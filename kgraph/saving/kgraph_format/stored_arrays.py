"""The arrays of a model as a list with paths, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from kgraph.layers.base import Layer, create_values
from kgraph.layers.base.between_blocks import between_blocks
from kgraph.layers.base.tree import named_weights
from kgraph.saving.files.file_error import file_error
from kgraph.saving.kgraph_format.array_entry import ArrayEntry
from kgraph.saving.kgraph_format.own_state import common_weights, keepers, own_arrays
from kgraph.types import Array, Tree

WEIGHTS = "weights/"
TRAINING = "training/"


def weight_values(model: Layer) -> dict[str, Array | np.ndarray]:
    """Returns the array of each weight by path, first values made where there are none yet.

    Of a layer that stores its weights by itself, what it stores.
    """
    create_values(named_weights(model))
    with between_blocks:
        values: dict[str, Array | np.ndarray] = {}
        values |= {WEIGHTS + path: weight.value for path, weight in common_weights(model)}
        for path, layer in keepers(model).items():
            start = f"{WEIGHTS}{path}/" if path else WEIGHTS
            values |= {start + name: array for name, array in own_arrays(layer).items()}
    return values


def weight_specs(model: Layer) -> dict[str, str]:
    """Returns shape and dtype of each weight as text, by path. No array is made."""
    return {
        WEIGHTS + path: f"{list(weight.shape)} {weight.dtype}"
        for path, weight in common_weights(model)
    }


def tree_paths(tree: Tree) -> dict[str, Any]:
    """Returns the leaves of a training state by path."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {TRAINING + jax.tree_util.keystr(path): leaf for path, leaf in flat}


def tree_specs(tree: Tree) -> dict[str, str]:
    """Returns shape and dtype of each leaf as text, by path."""
    return {path: spec_text(leaf) for path, leaf in tree_paths(tree).items()}


def spec_text(array: Any) -> str:
    return f"{list(np.shape(array))} {np.dtype(array.dtype).name}"


def compare(path: Path, expected: Mapping[str, str], entries: Iterable[ArrayEntry]) -> None:
    """Raises ModelFileError unless the file lists exactly these arrays."""
    found = {entry.path: str(entry) for entry in entries}
    for name in [*expected, *found]:
        if expected.get(name) != found.get(name):
            raise file_error(
                path, "has other arrays than its model needs", at=name,
                expected=expected.get(name, "no such array"),
                received=found.get(name, "no such array"),
            )  # fmt: skip
