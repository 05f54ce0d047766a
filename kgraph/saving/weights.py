"""Weights alone: written by layer path, and read into any model that has layers of these paths."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding

from kgraph.distribution.together import write_once
from kgraph.errors import ConfigError, StateError
from kgraph.layers.base import Layer, Variable
from kgraph.layers.base.core import label_of
from kgraph.layers.base.tree import named_weights
from kgraph.saving.files import strict_json
from kgraph.saving.files.atomic import replace_file
from kgraph.saving.files.digests import array_digests
from kgraph.saving.files.file_error import file_error, refusing
from kgraph.saving.files.host_memory import spread
from kgraph.saving.files.misfit import Misfit
from kgraph.saving.files.pending import settle
from kgraph.saving.keras_format import KerasWeights, keras_format_of, save_keras_weights
from kgraph.saving.kgraph_format.container import open_container
from kgraph.saving.kgraph_format.content import (
    Content,
    array_chunks,
    check_dtypes,
    write_file,
)
from kgraph.saving.kgraph_format.own_state import own_paths
from kgraph.saving.kgraph_format.parts import COPY, Part, open_regular
from kgraph.saving.kgraph_format.safetensors import (
    LENGTH_BYTES,
    SUFFIX,
    ArraySpec,
    Layout,
    header_length,
    make_layout,
    parse_layout,
)
from kgraph.saving.kgraph_format.shards import snapshot
from kgraph.saving.kgraph_format.stored_arrays import WEIGHTS, weight_specs, weight_values
from kgraph.saving.load import assign
from kgraph.saving.orbax_folder import OrbaxWeights, orbax_step
from kgraph.saving.overridden import refuse_other_ways
from kgraph.saving.paths import save_path, target_path
from kgraph.saving.weight_report import WeightReport, compare_weights
from kgraph.source import warn
from kgraph.tracebacks import entry
from kgraph.types import Array, FilePath
from kgraph.writing import local_path

if TYPE_CHECKING:
    from kgraph.distribution.base import Distribution
    from kgraph.models.model import Model


_DIGESTS = "kgraph_sha256"
_LENIENT = "load it into the model it was saved from, or pass strict=False or skip_mismatch=True"


@entry
def save_weights(
    model: Model,
    filepath: FilePath,
    overwrite: bool = True,
    max_shard_size: float | None = None,
) -> None:
    """Writes the weights of a model to one file, by layer path.

    Args:
        model: a model that has its weights.
        filepath: a name that ends in `.kgraph` (`.weights.kgraph`, say), or one without a suffix;
            in `.safetensors`, for a file that other programs read; or in `.weights.h5`, for one
            that Keras 3 reads into the same model, with the state of its optimizers, as in Keras.
        overwrite: whether a file of this name is replaced.
        max_shard_size: how many gigabytes a file may have; then the name ends in `.weights.json`,
            and is that of the index of several `.weights.h5`, as Keras has them. A save that fails
            leaves those of the one before.

    Raises:
        ConfigError: the name ends otherwise, or a weight has a dtype that cannot be stored.
        ModelFileError: the path cannot be written to.
        OSError: the disk is full, or fails; or this happened to a save in the background before, to
            the same path or of the same model.
    """
    settle(filepath, model)
    refuse_other_ways(model)
    if keras_format_of(filepath) == "weights" or max_shard_size is not None:
        target = target_path(filepath, overwrite)
        write = partial(save_keras_weights, model, target, max_shard_size)
    elif os.fspath(filepath).endswith(SUFFIX):
        target = target_path(filepath, overwrite)
        write = partial(_write_safetensors, target, _named(_gathered(model)))
    else:
        path = save_path(filepath, overwrite, "weights")
        write = partial(write_file, path, Content("weights", {}, _gathered(model)))
    write_once("save_weights", write)


def _gathered(model: Layer) -> dict[str, Any]:
    return snapshot(weight_values(model), spread=False)


@entry
def load_weights(
    model: Model, filepath: FilePath, skip_mismatch: bool = False, strict: bool = True
) -> WeightReport:
    """Sets the weights of a model from a file of weights or of a model, by layer path.

    All that fit are set, or none. Floats are brought to the dtype of the weight. To start a model
    from a part of another one (its first layers, say), give those layers the same names and pass
    `strict=False`; the report says what was found.

    Args:
        model: a model that has its weights.
        filepath: the file: kgraph's own (or a folder), `.safetensors`, or one of Keras' that ends
            in `.keras` or `.h5`. From the latter, optimizers that have a state take theirs. A
            folder of Keras' `OrbaxCheckpoint` gives the weights of its newest step.
        skip_mismatch: whether weights that are not in both, or differ in shape, are left as they
            are, with a warning, in the place of an error.
        strict: False leaves weights that are only in the model or only in the file as they are,
            without a warning. A weight of another shape is an error still. Files of Keras' number
            the layers of each class; with False the names that they note beside count.

    Returns:
        which weights were set, and which were not.

    Raises:
        StateError: the model has no weights yet.
        ModelFileError: the file is missing or damaged, or its weights are not those of the model.
        OSError: a save in the background, to this path or of this model, failed.
    """
    path = Path(local_path(filepath))
    settle(path, model)
    refuse_other_ways(model)
    step = orbax_step(path)
    if step is not None:
        reader: _Reader = OrbaxWeights(step, model)
    elif keras_format_of(path) is not None:
        reader = KerasWeights(path, model, by_name=not strict)
    else:
        reader = SafetensorsReader(path) if path.suffix == SUFFIX else _ContainerReader(path)
    with reader as file:
        report, arrays = _chosen(model, file, skip_mismatch, strict)
        states = file.states() if isinstance(file, KerasWeights) else []
    assign(model, arrays)
    for put in states:
        put()
    return report


def _chosen(
    model: Model, file: _Reader, skip_mismatch: bool, strict: bool
) -> tuple[WeightReport, dict[str, Array]]:
    """Returns the report, and the arrays to set."""
    is_own = own_paths(model)
    ours = _named(weight_specs(model)) | {n: s for n, s in file.specs.items() if is_own(n)}
    report = compare_weights(ours, file.specs)
    if not ours and file.specs:
        raise StateError(f"{label_of(model)} has no weights yet", hint="call it on data once")
    nothing = bool(ours) and not report.loaded
    names_only = not (report.mismatched or nothing)
    if not (report.complete or skip_mismatch or (not strict and names_only)):
        raise report.error(file.path, _LENIENT)
    if skip_mismatch and not report.complete:
        error = report.error(file.path, "give layers the names that they have in the file")
        warn(str(error))
    arrays: dict[str, Array] = {}
    weights, placement = dict(named_weights(model)), model._kgraph.programs.placement()
    rules = None if placement is None else placement.distribution
    for name, array in file.read(set(report.loaded)):
        if is_own(name):
            arrays[WEIGHTS + name] = jax.device_put(array)
            continue
        host = _fitting(file.path, name, array, weights[name].dtype)
        arrays[WEIGHTS + name] = spread(host, _sharding(name, weights[name], rules))
        del array, host
    return report, arrays


def _sharding(name: str, weight: Variable, by: Distribution | None) -> Sharding | None:
    """Returns how the value of a weight lies, or is to lie."""
    if weight.has_value:
        return weight.value.sharding
    return None if by is None else by.sharding_of(name, weight)


def _fitting(path: Path, name: str, array: np.ndarray, dtype: str) -> np.ndarray:
    """Returns an array in the dtype of its weight; numbers that it cannot hold are an error."""
    if array.dtype.name == dtype:
        return array
    with np.errstate(all="ignore"):
        narrow = array.astype(jnp.dtype(dtype))
    if not np.array_equal(np.isfinite(array), np.isfinite(narrow)):
        raise file_error(
            path, "has numbers that the weight cannot hold", at=name, expected=dtype,
            received=array.dtype.name,
        )  # fmt: skip
    return narrow


def _named(by_path: Mapping[str, Any]) -> dict[str, Any]:
    return {path.removeprefix(WEIGHTS): value for path, value in by_path.items()}


# --- the two kinds of files ----------------------------------------------------------------------


class _ContainerReader:
    """The weights in a `.kgraph` file or folder.

    Fields:
        specs: shape and dtype of each as text, by path.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opening = open_container(path)

    def __enter__(self) -> _ContainerReader:
        self._container = self._opening.__enter__()
        entries = [e for e in self._container.manifest.arrays if e.path.startswith(WEIGHTS)]
        self.specs: dict[str, str] = _named({e.path: str(e) for e in entries})
        return self

    def __exit__(self, *error: Any) -> None:
        self._opening.__exit__(*error)

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, np.ndarray]]:
        for name, array in self._container.read_arrays({WEIGHTS + name for name in wanted}):
            yield name.removeprefix(WEIGHTS), array


class SafetensorsReader:
    """The arrays of a `.safetensors` file, whoever wrote it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> SafetensorsReader:
        self._file = open_regular(self.path)
        try:
            self._layout = self._read_layout()
            self._digests = self._read_digests()
        except BaseException:
            self._file.close()
            raise
        self.specs = {name: str(spec) for name, spec in self._layout.specs.items()}
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()

    def check(self) -> None:
        """Reads what the file says that it holds; its arrays have to be there."""
        with self:
            pass

    def read(self, wanted: Collection[str]) -> Iterator[tuple[str, np.ndarray]]:
        part = Part(self._file, 0, self._layout.size)
        for name, start in self._layout.starts.items():
            if name not in wanted:
                continue
            with refusing(self.path, "is damaged", at=name, hint=COPY):
                array, found = part.read_array(start, self._layout.specs[name])
                if (expected := self._digests.get(name)) not in (None, found):
                    raise Misfit(name, f"SHA-256 {expected}", found)
            yield name, array
            del array

    def _read_layout(self) -> Layout:
        with refusing(self.path, "cannot be read"):
            size = os.fstat(self._file.fileno()).st_size
            try:
                whole = Part(self._file, 0, size)
                first = whole.read(0, min(size, LENGTH_BYTES))
                return parse_layout(whole.read(0, header_length(first, size)), size)
            except Misfit as misfit:
                raise file_error(
                    self.path, "is no safetensors file, or damaged", member="header",
                    at=misfit.place, expected=misfit.expected, received=misfit.received,
                ) from None  # fmt: skip

    def _read_digests(self) -> dict[str, str]:
        """Returns the digests that kgraph notes in its own files."""
        text = self._layout.metadata.get(_DIGESTS)
        if text is None:
            return {}
        with refusing(self.path, "is damaged", member="header", at=_DIGESTS, hint=COPY):
            digests = strict_json.decode(text.encode())
            if not isinstance(digests, dict) or set(digests) != set(self._layout.specs):
                raise Misfit(_DIGESTS, "a digest for each array", "others")
        return digests


_Reader: TypeAlias = _ContainerReader | SafetensorsReader | KerasWeights | OrbaxWeights


def _write_safetensors(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    specs = [ArraySpec(name, array.shape, array.dtype.name) for name, array in arrays.items()]
    check_dtypes(arrays)
    digests = dict(zip(arrays, array_digests(list(arrays.values())), strict=True))
    layout = make_layout(specs, {_DIGESTS: json.dumps(digests, separators=(",", ":"))})
    parsed = parse_layout(layout.header, layout.size)
    for name, spec in layout.specs.items():
        if parsed.specs.get(name) != spec:
            raise ConfigError(
                f"The weight {name!r} cannot be kept in a safetensors file",
                expected="a dtype that the format has", received=str(spec),
                hint="save it as .kgraph",
            )  # fmt: skip

    def write(new: Path) -> None:
        with open(new, "wb") as file:
            for chunk in array_chunks(layout.header, [arrays[name] for name in layout.starts]):
                file.write(chunk)

    replace_file(path, layout.size, write, lambda new: SafetensorsReader(new).check())
