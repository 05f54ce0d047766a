"""Folders that Keras' `OrbaxCheckpoint` wrote: weights by the names of layers, and the config."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kgraph.interrupts import held
from kgraph.layers.base import Layer
from kgraph.layers.base.tree import named_weights
from kgraph.saving.checkpoints.orbax_arrays import ArraysReader
from kgraph.saving.checkpoints.spec import Spec
from kgraph.saving.files.file_error import file_error, refusing

_ARRAYS, _CONFIG = "pytree", "model_config"
_UNREADABLE = "cannot be read as a checkpoint of Keras'"
_WEIGHTS = ("trainable_variables", "non_trainable_variables")


def orbax_step(path: Path) -> Path | None:
    """Returns the newest step in a folder of Keras', or the folder if it is one; else None."""
    if (path / _ARRAYS).is_dir():
        return path
    found = path.iterdir() if path.is_dir() else ()
    steps = [step for step in found if step.name.isdecimal() and (step / _ARRAYS).is_dir()]
    return max(steps, key=lambda step: int(step.name), default=None)


def orbax_config(step: Path) -> str:
    """Returns the JSON of the model that a step is of.

    Raises:
        ModelFileError: it has none, since weights alone were saved.
    """
    if not (step / _CONFIG).is_dir():
        raise file_error(
            step, "holds weights only", hint="build the model and call model.load_weights(path)"
        )
    text = _load(step, _CONFIG).get("config")
    if not isinstance(text, str):
        raise file_error(step, "has no config of a model", received=type(text).__name__)
    return text


class OrbaxWeights:
    """The weights of a step, by the paths of a model's. The state of optimizers is not read.

    At first shapes alone are read. An array takes memory when it is asked for, one by one.

    Fields:
        specs: shape and dtype of each as text, by path.
    """

    def __init__(self, path: Path, model: Layer) -> None:
        self.path, self._model = path, model

    def __enter__(self) -> OrbaxWeights:
        with held():
            from orbax.checkpoint import v1 as orbax
        with refusing(self.path, _UNREADABLE), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Orbax uses names of its own that it deprecates
            step = str(self.path.absolute())
            tree = orbax.pytree_metadata(step, checkpointable_name=_ARRAYS).metadata
            arrays = {
                at.partition("/")[2]: _spec(at, array)
                for kind in _WEIGHTS
                for at, array in _flat(tree.get(kind) or {}, kind)
            }
        known = {at for at, _ in named_weights(self._model)}
        owners = {at.partition("/")[0] for at in arrays}
        if len(owners) == 1 and not known & set(arrays):  # of a Sequential they begin with its name
            arrays = {at.partition("/")[2]: array for at, array in arrays.items()}
        self._arrays = arrays
        self.specs = {at: f"{list(spec.shape)} {spec.dtype}" for at, spec in arrays.items()}
        return self

    def __exit__(self, *error: Any) -> None:
        self._arrays = {}

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Yields path and array. Those who ask have compared its spec."""
        with refusing(self.path, _UNREADABLE):
            reader = ArraysReader(self.path / _ARRAYS, driver="zarr3")
        for at in wanted:
            spec = self._arrays[at]
            with refusing(self.path, _UNREADABLE, at=at):
                array = reader.read(".".join(spec.path), spec, (0,) * len(spec.shape), spec.shape)
            yield at, array


def _spec(at: str, array: Any) -> Spec:
    return Spec(tuple(at.split("/")), tuple(array.shape), array.dtype.name)


def _flat(tree: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, item in tree.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{path}/{name}")
        else:
            yield f"{path}/{name}", item


def _load(step: Path, part: str) -> Mapping[str, Any]:
    """Returns one part of a step."""
    with held():
        from orbax.checkpoint import v1 as orbax
    with refusing(step, _UNREADABLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where arrays lay when they were saved does not matter
        return orbax.load_checkpointables(str(step.absolute()), {part: None})[part]
