"""Saving `.keras` files: all that Keras cannot say is told before anything is written."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kgraph.custom_objects import custom_object_scope
from kgraph.errors import ConfigError
from kgraph.hooks import is_overridden
from kgraph.layers.base import Layer, create_values
from kgraph.layers.base.between_blocks import between_blocks
from kgraph.layers.base.core import label_of
from kgraph.layers.base.tree import named_weights, parts_of
from kgraph.registry import describe
from kgraph.saving.files import strict_json
from kgraph.saving.files.atomic import replace_file
from kgraph.saving.files.stored_zip import write_zip
from kgraph.saving.keras_format.archive import CONFIG, METADATA, WEIGHTS, read_archive
from kgraph.saving.keras_format.compile_options import (
    KNOWN,
    compile_config,
    read_compile_options,
)
from kgraph.saving.keras_format.hdf5 import import_h5py, write_arrays
from kgraph.saving.keras_format.kept_arrays import kept_arrays
from kgraph.saving.keras_format.kept_states import kept_states, trained_places
from kgraph.saving.keras_format.layer_order import check_order
from kgraph.saving.keras_format.models_in import ModelReader
from kgraph.saving.keras_format.models_out import ModelWriter
from kgraph.saving.keras_format.optimizer_slots import OptimizerSlots, SlotError
from kgraph.saving.keras_format.weight_paths import (
    group_names,
    layer_places,
    live_order,
    weight_paths,
)
from kgraph.saving.kgraph_format.manifest import KGRAPH_VERSION
from kgraph.saving.kgraph_format.own_objects import live_objects, warn_of_unregistered
from kgraph.saving.kgraph_format.own_state import assets_of, common_weights
from kgraph.saving.kgraph_format.stored_arrays import tree_specs
from kgraph.source import warn

if TYPE_CHECKING:
    from kgraph.models.model import Model


KERAS_VERSION = "3.15.1"
"""The release whose layout is written."""


def save_keras_model(model: Model, path: Path, include_optimizer: bool = True) -> None:
    """Writes a model as a `.keras` file that Keras loads in safe mode.

    Args:
        model: any model; one defined by code must have been called on data once.
        path: where to write; what is there stays whole until the new file is on the disk.
        include_optimizer: whether compile options and the optimizer's state are written as well.

    Raises:
        ConfigError: Keras has no counterpart for a part of it; the message names all such parts.
        OSError: the disk is full, or fails.
    """
    import_h5py()
    with between_blocks:  # of a training that runs, weights and optimizer's state are of one moment
        members = _members(model, path, include_optimizer)
    _write(path, members)


def check_keras_model(model: Model, path: Path) -> None:
    """Raises what `save_keras_model` raises if the model cannot be written."""
    import_h5py()
    _described(model, path, include_optimizer=True)


def _described(
    model: Any, path: Path, include_optimizer: bool
) -> tuple[ModelWriter, bytes, OptimizerSlots | None]:
    """Returns the config of a model that is proved to come back from it, and how it was written."""
    writer, slots = ModelWriter(), None
    document = writer.layer(model, "")
    writer.order = {**live_order(model), **writer.order}  # a model's code may make others
    check_order(model, writer)
    if include_optimizer and model.compiled:
        document["compile_config"], slots = _training(model, writer)
    writer.check(label_of(model))
    if writer.dropped:
        warn(
            f"{label_of(model)} is written with {', '.join(writer.dropped)}, which Keras drops "
            "when it loads a file: what is trained further will train these layers otherwise. "
            "Freeze them (layer.trainable = False), or save as .kgraph"
        )
    config = strict_json.encode(document, label_of(model))
    _prove(model, path, config, writer)
    return writer, config, slots


def _members(model: Any, path: Path, include_optimizer: bool) -> dict[str, bytes]:
    writer, config, slots = _described(model, path, include_optimizer)
    state: dict[str, np.ndarray] = {}
    named: dict[str, str] = {}
    create_values(named_weights(model))
    for kept in kept_states(model, writer.order):
        if include_optimizer or kept.place != "optimizer":
            state |= kept.arrays()
            named |= kept.names
    if slots is not None:
        made = slots.to_keras()
        state |= {at: made[number] for at, number in slots.places()}
        named |= {group: name for group, name, _ in slots.groups}
    return _packed(model, writer, config, state, named)


def save_keras_layer(layer: Layer, path: Path) -> None:
    """Writes a layer that is no model, and stands alone in its file.

    Raises:
        ConfigError: Keras has no counterpart for a part of it; the message names all such parts.
    """
    import_h5py()
    if not path.name.endswith(".keras"):
        raise ConfigError(
            f"{label_of(layer)} is saved as Keras saves it", expected="a name that ends in .keras",
            received=str(path),
        )  # fmt: skip
    writer = ModelWriter()
    document = writer.layer(layer, "")
    document["build_config"] = writer.value(layer.get_build_config(), "build_config")
    writer.check(label_of(layer))
    create_values(named_weights(layer))
    _write(path, _packed(layer, writer, strict_json.encode(document, label_of(layer)), {}, {}))


def _packed(
    model: Any,
    writer: ModelWriter,
    config: bytes,
    state: Mapping[str, np.ndarray],
    named: Mapping[str, str],
) -> dict[str, bytes]:
    """Returns the members of a file.

    Args:
        state: arrays besides the weights.
        named: names of their groups.
    """
    arrays = kept_arrays(model, writer.order) | dict(state)
    names = {**group_names(model, writer.order), **named}
    metadata = {"keras_version": KERAS_VERSION, "kgraph_version": KGRAPH_VERSION}
    return {
        METADATA: strict_json.encode(metadata, "The metadata"),
        CONFIG: config,
        WEIGHTS: write_arrays(arrays, names),
        **assets_of(layer_places(model, writer.order)),
    }


def _write(path: Path, members: Mapping[str, bytes]) -> None:
    parts = {name: (len(data), [data]) for name, data in members.items()}
    size = sum(size for size, _ in parts.values())
    replace_file(
        path, size, lambda new: write_zip(new, parts), lambda new: read_archive(new).weights.close()
    )


def _training(model: Any, writer: ModelWriter) -> tuple[dict[str, Any], OptimizerSlots | None]:
    """Returns the compile options, and what the optimizer remembers if it has made a step."""
    if is_overridden(model, "get_compile_config"):
        config = writer.value(model.get_compile_config(), "compile")
    else:
        options = model._kgraph.trainer.given()
        assert options is not None
        given = {key: _written(writer, item, key) for key, item in options.items()}
        config = compile_config(given)
        if "loss_fn" in options:
            writer.cannot("compile", "a loss_fn")
    state = model._kgraph.trainer.state()
    if state is None or model.optimizer.built:  # the latter is one of `kept_states`
        return config, None
    if tree_specs(state) != tree_specs(model._kgraph.trainer.abstract_state()):
        warn(
            f"{label_of(model)} is saved without its optimizer state, which belongs to other "
            "trainable weights than it has now: compile it again after freezing or unfreezing "
            "layers",
        )
        return config, None
    try:
        places = trained_places(model, writer.order)
        return config, OptimizerSlots(model.optimizer, state["optimizer"], places)
    except SlotError as error:
        writer.cannot("optimizer", str(error))
        return config, None


def _written(writer: ModelWriter, option: Any, name: str) -> Any:
    """Returns an option of `compile` in Keras' form."""
    if name not in KNOWN:
        return None
    try:
        plain = describe(option)
    except ConfigError as error:
        writer.cannot(name, str(error).partition("\n")[0])
        return None
    if name == "optimizer" and "exclude_from_weight_decay" in plain["config"]:
        writer.cannot(name, "patterns of exclude_from_weight_decay")
    return writer.value(plain, name)


def _prove(model: Model, path: Path, config: bytes, writer: ModelWriter) -> None:
    """Rebuilds the model from what will be written, and compares the weights.

    Raises:
        ConfigError: what comes out is another model.
    """
    document = strict_json.decode(config)
    options = document.get("compile_config")
    own = live_objects(model, *(model._kgraph.trainer.objects() if options else ()))
    with custom_object_scope(own), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader = ModelReader(path)
        try:
            rebuilt = reader.read(document)
            if options:
                read_compile_options(path, rebuilt, options)
        except Exception as error:
            raise _unprovable(model, str(error).partition("\n")[0]) from error
    places = weight_paths(model, writer.order)
    placed = {id(weight) for weight in places.values()}
    # What adapters have learned stands in the weights that rest.
    placed |= {id(weight) for layer in parts_of(model) for weight in layer._kgraph.adapters}
    for at, weight in common_weights(model):
        if id(weight) not in placed:
            raise _unprovable(model, f"{at} has no place in a Keras file")
    ours, theirs = _specs(places), _specs(weight_paths(rebuilt, reader.order))
    for at in [*ours, *theirs]:
        if ours.get(at) != theirs.get(at):
            pair = f"{ours.get(at, 'missing')} in the model and {theirs.get(at, 'missing')}"
            raise _unprovable(model, f"{at} is {pair} when rebuilt")
    warn_of_unregistered(label_of(model), own)


def _specs(places: Mapping[str, Any]) -> dict[str, str]:
    return {at: f"{list(weight.shape)} {weight.dtype}" for at, weight in places.items()}


def _unprovable(model: Model, reason: str) -> ConfigError:
    return ConfigError(
        f"{label_of(model)} cannot be saved as a Keras file: "
        "what would be read back is another model",
        received=reason,
        hint="a class of your own must take all it needs as arguments of __init__",
    )
