"""Weights alone: `.weights.h5` both ways, and the older `.h5` files of weights for reading."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from kgraph.errors import ModelFileError, StateError
from kgraph.layers.base import Layer, create_values
from kgraph.layers.base.weight import Weight
from kgraph.saving.file_error import file_error, refusing, shown
from kgraph.saving.keras_format.archive import WEIGHTS, file_size, read_archive
from kgraph.saving.keras_format.hdf5 import ArrayFile, write_arrays
from kgraph.saving.keras_format.legacy_weights import is_legacy, legacy_places
from kgraph.saving.keras_format.load import fits, fitting
from kgraph.saving.keras_format.save import write_file
from kgraph.saving.keras_format.weight_paths import group_names, live_order, weight_paths

MAX_FILE = 2**40
_REPORTED = 4


def save_keras_weights(model: Layer, path: Path) -> None:
    """Writes the weights of a model as a `.weights.h5` file that Keras reads into its twin.

    Raises:
        StateError: the model has no weights yet.
        OSError: the disk is full, or fails.
    """
    order = live_order(model)
    places = weight_paths(model, order)
    if not places:
        raise StateError(f"{model.label} has no weights yet", hint="call it on data once")
    create_values(model.named_weights())
    arrays = {at: np.asarray(weight.value) for at, weight in places.items()}
    write_file(path, write_arrays(arrays, group_names(model, order)))


def load_keras_weights(model: Layer, path: Path, skip_mismatch: bool = False) -> None:
    """Sets the weights of a model from a `.weights.h5`, a `.keras`, or an older `.h5` file.

    All are set, or none. Floats are brought to the dtype of the weight.

    Args:
        model: a model that has its weights.
        path: the file.
        skip_mismatch: whether weights that are not in both, or differ in shape, are left as they
            are, with a warning, in the place of an error.

    Raises:
        StateError: the model has no weights yet.
        ModelFileError: the file is missing or damaged, or its weights are not those of the model.
    """
    if path.suffix == ".keras":
        member, data = WEIGHTS, read_archive(path).weights
    else:
        with refusing(path, "cannot be read"):
            if (size := file_size(path)) > MAX_FILE:
                raise file_error(path, "is too large", expected=MAX_FILE, received=size)
            member, data = None, path.read_bytes()
    with ArrayFile(path, member, data) as file:
        places = legacy_places(file, model) if is_legacy(file) else None
        if places is None:
            places = weight_paths(model, live_order(model))
        if not places:
            raise StateError(f"{model.label} has no weights yet", hint="call it on data once")
        chosen = _chosen(file, places, skip_mismatch)
        values = {at: fitting(file, at, weight) for at, weight in chosen.items()}
    for at, weight in chosen.items():
        weight.path = weight.path or at
        weight.assign(values[at])


def _chosen(
    file: ArrayFile, places: Mapping[str, Weight], skip_mismatch: bool
) -> dict[str, Weight]:
    """Returns the weights that the file has, and raises (or warns) about the others."""
    stored = {at for at in file.arrays if not at.startswith("optimizer/")}
    rows = []
    chosen = {}
    for at in [*places, *sorted(stored - set(places))]:
        weight, array = places.get(at), file.arrays.get(at)
        if weight is not None and array is not None and fits(weight, array):
            chosen[at] = weight
            continue
        ours = "-" if weight is None else f"{list(weight.shape)} {weight.dtype}"
        rows.append(f"{shown(at, 40)}: {ours} | {array or '-'}")
    if rows:
        more = [f"and {len(rows) - _REPORTED} more"] if len(rows) > _REPORTED else []
        error = ModelFileError(
            f"The file {shown(str(file.path)[-60:])!r} has other weights than the model",
            weights=["where: model | file", *rows[:_REPORTED], *more],
            hint="load it into the model it was saved from, or pass skip_mismatch=True",
        )
        if not skip_mismatch:
            raise error
        warnings.warn(str(error), UserWarning, stacklevel=5)
    return chosen
