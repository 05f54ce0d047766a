"""Weights alone: `.weights.h5` both ways, and the older `.h5` files of weights for reading."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kgraph.errors import StateError
from kgraph.layers.base import Layer, create_values
from kgraph.layers.base.between_blocks import between_blocks
from kgraph.layers.base.core import label_of
from kgraph.layers.base.tree import has_weights, named_weights, parts_of
from kgraph.layers.base.variable import Variable
from kgraph.saving.files.atomic import replace_file
from kgraph.saving.files.file_error import file_error
from kgraph.saving.keras_format.archive import WEIGHTS, read_archive
from kgraph.saving.keras_format.hdf5 import ArrayFile, write_arrays
from kgraph.saving.keras_format.kept_arrays import kept_arrays
from kgraph.saving.keras_format.kept_states import (
    kept_states,
    optimizer_arrays,
    taken_states,
)
from kgraph.saving.keras_format.legacy_weights import is_legacy, legacy_places
from kgraph.saving.keras_format.sharded import SUFFIX as SHARDED
from kgraph.saving.keras_format.sharded import (
    ShardedArrays,
    bytes_of_shards,
    check_name,
    write_sharded,
)
from kgraph.saving.keras_format.weight_paths import (
    group_names,
    live_order,
    own_groups,
    weight_paths,
)
from kgraph.saving.kgraph_format.own_state import all_layers
from kgraph.saving.kgraph_format.parts import open_window

_MEMBERS = "layers"
"""The attribute of Keras' models under which layers have numbers in the place of names."""


def save_keras_weights(model: Layer, path: Path, max_shard_size: float | None = None) -> None:
    """Writes the weights of a model as a `.weights.h5` file that Keras reads into its twin.

    Args:
        model: what it is of.
        path: the file; with `max_shard_size` the index of several.
        max_shard_size: how many gigabytes (2**30 bytes) of arrays one file may hold.

    Raises:
        ConfigError: the name of the file does not go with `max_shard_size`.
        StateError: the model has no weights yet.
        OSError: the disk is full, or fails.
    """
    check_name(path, max_shard_size)
    largest = None if max_shard_size is None else bytes_of_shards(max_shard_size)
    order = live_order(model)
    if not has_weights(model):
        raise StateError(f"{label_of(model)} has no weights yet", hint="call it on data once")
    create_values(named_weights(model))
    with between_blocks:
        arrays, names = kept_arrays(model, order), group_names(model, order)
        for kept in kept_states(model, order):
            arrays |= kept.arrays()
            names |= kept.names
    if largest is not None:
        write_sharded(path, arrays, names, largest)
        return
    data = write_arrays(arrays, names)
    replace_file(
        path, len(data), lambda new: new.write_bytes(data), lambda new: open_arrays(new).__exit__()
    )


class KerasWeights:
    """The weights in a `.weights.h5`, a `.keras`, or an older `.h5` file, while it is open.

    Keras numbers the layers of a class; so does this, unless they are wanted by their names.

    Args:
        path: the file.
        model: what they are for: its paths stand for the arrays that have a place in it.
        by_name: whether layers are those of the same name, wherever they stand.

    Fields:
        specs: shape and dtype of each as text, by the path of the weight (or in the file).

    Raises:
        ModelFileError: the file is missing, damaged, or no such file.
    """

    def __init__(self, path: Path, model: Layer, by_name: bool) -> None:
        self.path, self._model, self._by_name = path, model, by_name

    def __enter__(self) -> KerasWeights:
        self._file = open_arrays(self.path)
        try:
            self._stored = self._pair()
        except BaseException:
            self._file.__exit__()
            raise
        self.specs = {name: str(self._file.arrays[at]) for name, at in self._stored.items()}
        self._adapters = dict(_unlearned(self._model))
        for name, array in self._adapters.items():
            self.specs[name] = f"{list(array.shape)} {array.dtype}"
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.__exit__(*error)

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Yields path in the model and array."""
        for name in wanted:
            unlearned = self._adapters.get(name)
            yield name, self._file.read(self._stored[name]) if unlearned is None else unlearned

    def states(self) -> list[Callable[[], None]]:
        """Returns what sets the optimizers of the model to what the file has of them."""
        if is_legacy(self._file):
            return []
        return taken_states(self._model, live_order(self._model), self._file)

    def _pair(self) -> dict[str, str]:
        """Returns the place of each array in the file by the path that it has in the model."""
        file, paths = self._file, {id(w): path for path, w in named_weights(self._model)}
        arrays = dict(zip(file.arrays, file.arrays))
        if is_legacy(file):
            groups: dict[str, str] = {}
            places: Mapping[str, Variable] = legacy_places(file, self._model, self._by_name)
        else:
            order = live_order(self._model)
            places = weight_paths(self._model, order)
            own = {id(layer): path for path, layer in all_layers(self._model)}
            groups = {g: own[id(x)] for g, x in own_groups(self._model, order).items()}
            ours = {*groups, *(at.rpartition("/")[0] for at in places)}
            others = optimizer_arrays(file, ours)
            arrays = {at: at for at in arrays if at not in others}
            if self._by_name:
                names = group_names(self._model, order)
                places = {_named(at, names): weight for at, weight in places.items()}
                groups = {_named(group, names): path for group, path in groups.items()}
                noted = self._noted()
                arrays = {_named(at, noted): at for at in reversed(arrays)}
        others = {title: at for title, at in arrays.items() if title not in places}
        found = {_stored_by(groups, title): at for title, at in others.items()}
        found.update({paths[id(places[key])]: at for key, at in arrays.items() if key in places})
        return found

    def _noted(self) -> dict[str, str | None]:
        """Returns the name of each layer that the file notes, by group."""
        noted = {group: self._file.text(group, "name") for group in self._file.groups}
        if not any(noted.values()):
            raise file_error(
                self.path, "does not say the names of its layers",
                hint="load it into a model of the same layers, without strict=False",
            )  # fmt: skip
        return noted


def _unlearned(model: Layer) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the small weights of LoRA by path as they are before they have learned anything.

    What they had learned stands in the weight that rests, in Keras' files.
    """
    paths = {id(weight): path for path, weight in named_weights(model)}
    for layer in parts_of(model):
        if layer._kgraph.adapters:
            first, second = layer._kgraph.adapters
            yield paths[id(first)], np.asarray(first.value)
            yield paths[id(second)], np.zeros(second.shape, second.dtype)


def open_arrays(path: Path) -> ArrayFile:
    if path.name.endswith(SHARDED):
        return ShardedArrays(path)
    if path.suffix == ".keras":
        return ArrayFile(path, WEIGHTS, read_archive(path).weights)
    return ArrayFile(path, None, open_window(path))


def _stored_by(groups: Mapping[str, str], at: str) -> str:
    """Returns the path in the model of what a layer has stored by itself; others as they are."""
    group, _, name = at.rpartition("/")
    return f"{groups[group]}/{name}".lstrip("/") if group in groups else at


def _named(at: str, names: Mapping[str, str | None]) -> str:
    """Returns the path of an array with the names of layers in the place of their numbers."""
    parts = at.split("/")
    for i in range(1, len(parts)):
        name = names.get("/".join([*at.split("/")[: i + 1], "vars"]))
        if parts[i - 1] == _MEMBERS and name:
            parts[i] = name
    return "/".join(parts)
