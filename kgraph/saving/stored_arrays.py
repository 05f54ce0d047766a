"""The arrays of a model as a list with paths, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from kgraph.layers.base import Layer, create_values
from kgraph.saving.container import Container
from kgraph.saving.file_error import file_error, refusing
from kgraph.saving.manifest import ArrayEntry
from kgraph.saving.orbax_adapter import read_arrays
from kgraph.types import Array, Tree

WEIGHTS = "weights/"
TRAINING = "training/"


def weight_arrays(model: Layer) -> dict[str, np.ndarray]:
    """Returns each weight on the host by path, first values made where there are none yet."""
    create_values(model.named_weights())
    return {WEIGHTS + path: np.asarray(weight.value) for path, weight in model.named_weights()}


def weight_specs(model: Layer) -> dict[str, str]:
    """Returns shape and dtype of each weight as text, by path. No array is made."""
    return {
        WEIGHTS + path: f"{list(weight.shape)} {weight.dtype}"
        for path, weight in model.named_weights()
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


def entry_of(path: str, array: np.ndarray) -> ArrayEntry:
    """Returns the line of the manifest for an array."""
    return ArrayEntry(path, array.shape, array.dtype.name, digest_of(array))


def digest_of(array: Any) -> str:
    """Returns the SHA-256 of the bytes of an array (C order, little endian)."""
    host = np.ascontiguousarray(np.asarray(array))
    if host.dtype.byteorder == ">":
        host = host.astype(host.dtype.newbyteorder("<"))
    return hashlib.sha256(host.reshape(-1).view(np.uint8).data).hexdigest()


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


def read_verified(container: Container, folder: Path, wanted: Collection[str]) -> dict[str, Array]:
    """Returns the wanted arrays of a file by path, each with its digest verified.

    The caller has compared their shapes with those of a model: only these take memory.
    """
    entries: Sequence[ArrayEntry] = container.manifest.arrays
    checkpoint = container.extract_arrays(folder)
    with refusing(container.path, "holds arrays that cannot be read", member="arrays"):
        arrays = read_arrays(checkpoint, entries, wanted)
    for entry in entries:
        if (array := arrays.get(entry.path)) is None:
            continue
        digest = digest_of(array)
        if spec_text(array) != str(entry) or digest != entry.sha256:
            raise file_error(
                container.path, "is damaged", member="arrays", at=entry.path,
                expected=f"{entry}, SHA-256 {entry.sha256}",
                received=f"{spec_text(array)}, SHA-256 {digest}",
            )  # fmt: skip
    return arrays
