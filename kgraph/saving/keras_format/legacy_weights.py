"""The older `.h5` files of weights, as the pretrained nets come in: arrays by layer, in a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kgraph.layers.base import InputLayer, Layer
from kgraph.layers.base.weight import Weight
from kgraph.saving.file_error import file_error
from kgraph.saving.keras_format.hdf5 import ArrayFile

_MODEL = "model_weights"


def is_legacy(file: ArrayFile) -> bool:
    """Tells whether a file lists its layers, as files before Keras 3 do."""
    return _root(file) is not None


def legacy_places(file: ArrayFile, model: Any) -> dict[str, Weight]:
    """Returns the model's weights by the path of their arrays.

    Layers with weights are paired by name if both sides have the same names, and in their order
    otherwise (names that were numbered automatically differ from session to session).

    Raises:
        ModelFileError: the file has other layers than the model, or a layer has other weights.
    """
    root = _root(file) or ""
    stored = _stored(file, root)
    layers = {x.name: x for x in _layers(model) if x.named_weights_exist}
    if len(stored) != len(layers):
        raise file_error(
            file.path, "has other layers than the model", expected=f"{len(layers)} with weights",
            received=f"{len(stored)} with weights",
        )  # fmt: skip
    by_name = set(stored) == set(layers)
    found: dict[str, Weight] = {}
    for (name, paths), layer in zip(stored.items(), layers.values()):
        layer = layers[name] if by_name else layer
        weights = [*layer.trainable_weights, *layer.non_trainable_weights]
        if len(paths) != len(weights):
            raise file_error(
                file.path, "has other weights than the model", at=name,
                expected=f"{len(weights)} in {layer.name}", received=f"{len(paths)}",
            )  # fmt: skip
        found.update(zip(paths, weights))
    return found


def _root(file: ArrayFile) -> str | None:
    """Returns the group that lists the layers: files of whole models keep them one level down."""
    for group in ("", _MODEL):
        if group in file.groups and file.texts(group, "layer_names") is not None:
            return group
    return None


def _stored(file: ArrayFile, root: str) -> Mapping[str, list[str]]:
    """Returns the paths of the arrays of each layer that has any."""
    found: dict[str, list[str]] = {}
    for name in file.texts(root, "layer_names") or []:
        group = f"{root}/{name}".lstrip("/")
        if group not in file.groups:
            raise file_error(file.path, "lists a layer that it does not hold", at=name)
        paths = [f"{group}/{part}" for part in file.texts(group, "weight_names") or []]
        for path in paths:
            if path not in file.arrays:
                raise file_error(file.path, "lists an array that it does not hold", at=path)
        if paths:
            found[name] = paths
    return found


def _layers(model: Any) -> list[Layer]:
    return [layer for layer in model.layers if not isinstance(layer, InputLayer)]
