"""What layers save and load by themselves: `save_own_variables`, `save_assets` and their like.

The arrays that such a layer stores stand in a file in the place of its own weights, under its path
and the names that it gives them. Files that it writes are kept as arrays of bytes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kgraph.errors import ConfigError
from kgraph.hooks import is_overridden, place_of
from kgraph.layers.base import Layer, Variable
from kgraph.layers.base.core import label_of
from kgraph.layers.base.tree import children, named_weights
from kgraph.writing import write_file

ASSETS = "assets/"
_OWN = ("save_own_variables", "load_own_variables")


def keeps_own(layer: Layer) -> bool:
    """Tells whether a layer's class says itself what is stored of its own weights."""
    return any(is_overridden(layer, name) for name in _OWN)


def keepers(model: Layer) -> dict[str, Layer]:
    """Returns the layers that store their own weights, by path."""
    return {path: layer for path, layer in _layers(model) if keeps_own(layer)}


def common_weights(model: Layer) -> Iterator[tuple[str, Variable]]:
    """Yields path and weight of all that no layer stores by itself."""
    own = {id(weight) for layer in keepers(model).values() for weight in layer._kgraph.weights}
    return ((path, weight) for path, weight in named_weights(model) if id(weight) not in own)


def own_arrays(layer: Layer) -> dict[str, np.ndarray]:
    """Returns what a layer stores.

    Raises:
        ConfigError: a name is no plain text.
    """
    store: dict[str, Any] = {}
    layer.save_own_variables(store)
    for name in store:
        if not isinstance(name, str) or not name or "/" in name:
            raise ConfigError(
                f"{label_of(layer)} stores a variable under a name that is none",
                defined=place_of(layer, "save_own_variables"), expected="a text without '/'",
                received=repr(name),
            )  # fmt: skip
    return {name: np.asarray(value) for name, value in store.items()}


def own_paths(model: Layer) -> Callable[[str], bool]:
    """Returns what tells whether a layer has stored the array of a path by itself."""
    places, common = keepers(model).keys(), {path for path, _ in common_weights(model)}
    return lambda path: path.rpartition("/")[0] in places and path not in common


def load_own(model: Layer, arrays: Mapping[str, Any]) -> None:
    """Gives layers the arrays that they have stored, from all arrays by path."""
    is_own = own_paths(model)
    stores: dict[str, dict[str, Any]] = {path: {} for path in keepers(model)}
    for at, array in arrays.items():
        if is_own(at):
            path, _, name = at.rpartition("/")
            stores[path][name] = array
    for path, layer in keepers(model).items():
        if stores[path] or not layer._kgraph.weights:
            layer.load_own_variables(stores[path])


# --- files ---------------------------------------------------------------------------------------


def assets_of(layers: Iterable[tuple[str, Layer]]) -> dict[str, bytes]:
    """Returns what layers write into folders: by `assets/`, the place of each, and file.

    Args:
        layers: by place.
    """
    found: dict[str, bytes] = {}
    for place, layer in layers:
        if not is_overridden(layer, "save_assets"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            layer.save_assets(folder)  # type: ignore[attr-defined]
            for file in sorted(Path(folder).rglob("*")):
                if file.is_file():
                    name = PurePosixPath(place, file.relative_to(folder).as_posix())
                    found[f"{ASSETS}{name}"] = file.read_bytes()
    return found


def load_assets(layers: Iterable[tuple[str, Layer]], assets: Mapping[str, bytes]) -> None:
    """Gives layers the folders that they have written."""
    for place, layer in layers:
        if not is_overridden(layer, "load_assets"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            start = str(PurePosixPath(ASSETS, place)) + "/"
            for name, data in assets.items():
                if name.startswith(start):
                    _write(Path(folder), name.removeprefix(start), data)
            layer.load_assets(folder)  # type: ignore[attr-defined]


def _write(folder: Path, name: str, data: bytes) -> None:
    """Writes a file below a folder, and nowhere else."""
    target = folder.joinpath(*PurePosixPath(name).parts)
    if ".." in target.parts or not target.resolve().is_relative_to(folder.resolve()):
        raise ConfigError("A file names a place outside of its folder", received=repr(name))
    os.makedirs(target.parent, exist_ok=True)
    write_file(target, data)


def all_layers(model: Layer) -> Iterator[tuple[str, Layer]]:
    """Yields path and layer for a model and all layers in it, each once."""
    return _layers(model)


def _layers(
    layer: Layer, path: str = "", seen: set[int] | None = None
) -> Iterator[tuple[str, Layer]]:
    seen = set() if seen is None else seen
    if id(layer) not in seen:
        seen.add(id(layer))
        yield path, layer
        for name, child in children(layer):
            yield from _layers(child, f"{path}/{name}".lstrip("/"), seen)
