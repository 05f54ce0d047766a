"""The older `.h5` files of weights, as the pretrained nets come in: arrays by layer, in a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kgraph.layers.base import InputLayer, Layer
from kgraph.layers.base.tree import has_weights
from kgraph.layers.base.variable import Variable
from kgraph.saving.files.file_error import file_error
from kgraph.saving.keras_format.hdf5 import ArrayFile

_MODEL = "model_weights"


def is_legacy(file: ArrayFile) -> bool:
    """Tells whether a file lists its layers, as files before Keras 3 do."""
    return _root(file) is not None


def legacy_places(file: ArrayFile, model: Layer, by_name: bool) -> dict[str, Variable]:
    """Returns the model's weights by the path of their arrays, those that have one.

    Layers with weights are paired by name if both sides have the same names, or another number of
    layers; else in their order (automatic names differ from session to session).

    Args:
        by_name: whether they are paired by name in any case.
    """
    root = _root(file) or ""
    stored = _stored(file, root)
    layers = {x.name: x for x in _layers(model) if has_weights(x)}
    same = len(stored) == len(layers) and set(stored) != set(layers)
    pairs = zip(stored, layers.values() if same and not by_name else map(layers.get, stored))
    found: dict[str, Variable] = {}
    for name, layer in pairs:
        if layer is not None:
            weights = [*layer.trainable_weights, *layer.non_trainable_weights]
            found.update(zip(stored[name], weights))
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
    listed: set[str] = set()
    for name in file.texts(root, "layer_names") or []:
        if name in listed:
            raise file_error(file.path, "lists a layer twice", at=name)
        listed.add(name)
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
