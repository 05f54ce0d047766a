"""Loading `.keras` files: everything is checked before memory is taken, nothing of it is run."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.custom_objects import custom_object_scope
from kgraph.distribution.current import distribution
from kgraph.distribution.stored import stored_shardings
from kgraph.errors import StateError
from kgraph.layers.base import Layer
from kgraph.layers.base.core import label_of
from kgraph.layers.base.first_keys import root_key
from kgraph.layers.base.tree import named_weights
from kgraph.layers.base.variable import Variable
from kgraph.saving.files.file_error import file_error, refusing
from kgraph.saving.files.host_memory import spread
from kgraph.saving.keras_format.archive import WEIGHTS, KerasArchive, read_archive
from kgraph.saving.keras_format.compile_options import read_compile_options
from kgraph.saving.keras_format.hdf5 import ArrayFile, StoredArray
from kgraph.saving.keras_format.kept_states import (
    optimizer_arrays,
    read_state,
    taken_states,
    trained_places,
)
from kgraph.saving.keras_format.models_in import ModelReader
from kgraph.saving.keras_format.optimizer_slots import OptimizerSlots, SlotError
from kgraph.saving.keras_format.weight_paths import (
    LayerOrder,
    layer_places,
    own_groups,
    weight_paths,
)
from kgraph.saving.kgraph_format.array_reader import ShardingOf
from kgraph.saving.kgraph_format.own_state import ASSETS, load_assets
from kgraph.saving.kgraph_format.stored_arrays import WEIGHTS as STORED
from kgraph.source import warn
from kgraph.types import CustomObjects

if TYPE_CHECKING:
    from kgraph.models.model import Model


_OPTIMIZER = "optimizer/"


def load_keras_model(
    path: Path,
    custom_objects: CustomObjects | None = None,
    compile: bool = True,
    expect_sha256: str | None = None,
    shardings: ShardingOf | None = None,
) -> Any:
    """Returns the model of a `.keras` file, ready to predict what Keras does, and to train on.

    Nothing from the file is executed, imported or extracted; no initializer runs. Arrays are read
    one by one, each to where it will lie.

    Args:
        path: the file.
        custom_objects: your own classes and functions by name.
        compile: whether compile options and the optimizer's state are restored as well.
        expect_sha256: the SHA-256 that the file must have.
        shardings: see `load_model`; paths are those of the model.

    Raises:
        ModelFileError: the file is missing, damaged, or holds what kgraph has not.
        ConfigError: h5py is not installed.
    """
    archive = read_archive(path, expect_sha256)
    with contextlib.closing(archive.weights):
        reader, model, waits = _described(archive, custom_objects, compile)
        with ArrayFile(path, WEIGHTS, archive.weights) as file:
            places = _compared(file, model, reader.order)
            if shardings is None and (rules := distribution()) is not None:
                shardings = stored_shardings(rules, model)
            trained = _training_state(file, model, reader.order, shardings) if waits else None
            paths = {id(weight): at for at, weight in named_weights(model)}
            values = {
                at: _placed(fitting(file, at, weight), paths[id(weight)], shardings)
                for at, weight in places.items()
            }
            own = own_groups(model, reader.order)
            stores = {group: _inside(file, group) for group in own}
            restore = taken_states(model, reader.order, file) if compile else []
    for at, weight in places.items():
        weight.assign(values.pop(at))
    if trained:
        model._kgraph.trainer.restore_state(trained)
    for put in restore:
        put()
    for group, layer in own.items():
        layer.load_own_variables(stores[group])
    layers = layer_places(model, reader.order)
    _restore_vocabularies(path, layers, archive.assets)
    load_assets(layers, archive.assets)
    return model


def _described(
    archive: KerasArchive, custom_objects: CustomObjects | None, compile: bool
) -> tuple[ModelReader, Any, bool]:
    """Returns the model that an archive describes, without values.

    Beside it stand what has read it, and whether it waits for the state of its training.
    """
    with custom_object_scope(custom_objects), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the user saw them when the model was made
        reader = ModelReader(archive.path)
        model = reader.read(archive.config)
        options = archive.config.get("compile_config") if compile else None
        if options:
            read_compile_options(archive.path, model, options)
    if not options:
        return reader, model, False
    if not model.compiled:
        warn(
            f"{label_of(model)} is loaded without being compiled, since its class has a compile "
            "of its own: compile it, or write get_compile_config and compile_from_config"
        )
    return reader, model, model.compiled and not model.optimizer.built


def _placed(array: np.ndarray, path: str, shardings: ShardingOf | None) -> jax.Array:
    return spread(array, None if shardings is None else shardings(STORED + path, array.shape))


def _restore_vocabularies(
    path: Path, layers: Sequence[tuple[str, Layer]], assets: Mapping[str, bytes]
) -> None:
    """Gives lookup layers what they have learned, which Keras keeps apart from their config."""
    for place, layer in layers:
        member = f"{ASSETS}{place}/vocabulary.txt"
        restore = getattr(layer, "restore_vocabulary", None)
        if restore is not None and member in assets:
            with refusing(path, "has a vocabulary that is none", member=member):
                restore(assets[member].decode().splitlines())


def _inside(file: ArrayFile, group: str) -> dict[str, np.ndarray]:
    """Returns the arrays of a group by name."""
    parts = [at.rpartition("/") for at in file.arrays]
    return {name: file.read(f"{group}/{name}") for where, _, name in parts if where == group}


def _compared(file: ArrayFile, model: Layer, order: LayerOrder) -> dict[str, Variable]:
    """Returns the model's weights by path, when the file has all of them and no others."""
    places = weight_paths(model, order)
    own = own_groups(model, order)
    others = optimizer_arrays(file, [*own, *(at.rpartition("/")[0] for at in places)])
    found = {
        at: array
        for at, array in file.arrays.items()
        if not (at in others or at.startswith(_OPTIMIZER) or at.rpartition("/")[0] in own)
    }
    for at in [*places, *found]:
        weight, array = places.get(at), found.get(at)
        if weight is None or array is None or not fits(weight, array):
            ours = None if weight is None else f"{list(weight.shape)} {weight.dtype}"
            raise file_error(
                file.path, "has other weights than its model", member=WEIGHTS, at=at,
                expected=ours or "no such array", received=str(array or "no such array"),
            )  # fmt: skip
    return places


def fits(weight: Variable, array: StoredArray) -> bool:
    """Tells whether an array can be a weight: its shape, and its dtype without loss of kind."""
    if weight.shape != array.shape:
        return False
    kinds = [jnp.dtype(name) for name in (weight.dtype, array.dtype)]
    alike = (all(jnp.issubdtype(k, kind) for k in kinds) for kind in (jnp.floating, jnp.integer))
    return weight.dtype == array.dtype or any(alike)


def fitting(file: ArrayFile, at: str, weight: Variable) -> np.ndarray:
    """Returns an array in the dtype of its weight; numbers that it cannot hold are an error."""
    array = file.read(at)
    if str(array.dtype) == weight.dtype:
        return array
    with np.errstate(all="ignore"):
        narrow = array.astype(jnp.dtype(weight.dtype))
    if array.dtype.kind in "iu":
        same = np.array_equal(array, narrow)
    else:
        same = np.array_equal(np.isfinite(array), np.isfinite(narrow.astype(np.float64)))
    if not same:
        raise file_error(
            file.path, "has numbers that the weight cannot hold", member=WEIGHTS, at=at,
            expected=weight.dtype, received=str(array.dtype),
        )  # fmt: skip
    return narrow


# --- optimizer -----------------------------------------------------------------------------------


def _training_state(
    file: ArrayFile, model: Model, order: LayerOrder, shardings: ShardingOf | None
) -> dict[str, Any] | None:
    """Returns what training had reached; None if the file is of a model that was never trained."""
    stored = [at for at in file.arrays if at.startswith(_OPTIMIZER)]
    if _is_unused(file, stored):
        return None
    slots = _slots(file, model, order)
    expected = {at: slots.entries[number].shape for at, number in slots.places()}
    for at in [*expected, *sorted(set(stored) - set(expected))]:
        array, shape = file.arrays.get(at), expected.get(at)
        if shape is None or array is None or array.shape != shape:
            raise file_error(
                file.path, "has another optimizer state than its optimizer", member=WEIGHTS, at=at,
                expected="no such array" if shape is None else list(shape),
                received=str(array or "no such array"), hint="load it with compile=False",
            )  # fmt: skip
    state = read_state(file, slots, shardings)
    step = jnp.asarray(int(state.step), jnp.int32)  # not the same buffer: steps donate both
    return {"optimizer": state, "step": step, "epoch": jnp.int32(0), "key": root_key()}


def _is_unused(file: ArrayFile, stored: Sequence[str]) -> bool:
    """Tells whether an optimizer has seen no gradient: Keras makes its arrays at the first one."""
    return all(
        file.arrays[at].shape == ()
        and (file.arrays[at].dtype.startswith(("float", "bfloat")) or not file.read(at))
        for at in stored
    )


def _slots(file: ArrayFile, model: Model, order: LayerOrder) -> OptimizerSlots:
    with refusing(
        file.path, "has an optimizer state that kgraph cannot take", member=WEIGHTS,
        hint="load it with compile=False",
    ):  # fmt: skip
        try:
            state = model._kgraph.trainer.abstract_state()["optimizer"]
        except StateError as error:
            raise SlotError("the model has not seen data yet") from error
        return OptimizerSlots(model.optimizer, state, trained_places(model, order))
