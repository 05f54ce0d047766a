"""Saving: what is written has been read back, as a model, before it is put in place."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kgraph.compiler.lower import graph_of
from kgraph.custom_objects import custom_object_scope
from kgraph.distribution.coordination import is_leader
from kgraph.distribution.together import write_once
from kgraph.errors import ConfigError
from kgraph.hooks import is_overridden
from kgraph.layers.base.between_blocks import between_blocks
from kgraph.layers.base.core import label_of
from kgraph.layers.base.tree import named_weights
from kgraph.saving.files import strict_json
from kgraph.saving.files.pending import PendingSave, settle, start_save
from kgraph.saving.keras_format import (
    check_keras_model,
    keras_format_of,
    save_keras_model,
)
from kgraph.saving.kgraph_format.content import Content, write_file
from kgraph.saving.kgraph_format.description import (
    model_document,
    model_from_document,
)
from kgraph.saving.kgraph_format.document_check import check_document
from kgraph.saving.kgraph_format.folder import FolderWriter
from kgraph.saving.kgraph_format.manifest import MODEL, TRAINING_OPTIONS
from kgraph.saving.kgraph_format.own_objects import live_objects, warn_of_unregistered
from kgraph.saving.kgraph_format.own_state import all_layers, assets_of
from kgraph.saving.kgraph_format.shards import snapshot
from kgraph.saving.kgraph_format.stored_arrays import (
    tree_paths,
    tree_specs,
    weight_specs,
    weight_values,
)
from kgraph.saving.load import check_training
from kgraph.saving.overridden import refuse_other_ways
from kgraph.saving.paths import asks_for_folder, folder_path, save_path, target_path
from kgraph.source import warn
from kgraph.tracebacks import entry
from kgraph.types import FilePath

if TYPE_CHECKING:
    from kgraph.models.model import Model


@entry
def save_model(
    model: Model,
    filepath: FilePath,
    overwrite: bool = True,
    include_optimizer: bool = True,
    wait: bool = True,
) -> PendingSave | None:
    """Writes a model: graph, weights, compile options and training state. The same gives the same.

    Before anything is written the model is rebuilt from its description and compared. The old file
    stays whole until the new one is complete and on the disk.

    A `.kgraph` file is a zip of stored members: `manifest.json` (format version, sizes and digests
    of the members, shape, dtype and digest of each array, hash of the graph), `model.json`,
    `training.json` (only of a compiled model) and `arrays.safetensors`. A folder holds the same as
    files, with a part of the digest in their names (`model-0123456789abcdef.json`): a new save
    writes beside the old one and then replaces `manifest.json`, which says what counts.

    In a folder an array that is spread over devices stays in shards, each with its digest, and of
    several processes (`jax.distributed`) each writes those that it has: all call `save` at the same
    place, with a folder that all of them see. Such a folder loads on any number of devices.

    Args:
        model: any model; one defined by code must have been called on data once.
        filepath: a name that ends in `.kgraph`, or one without a suffix; one that ends in `/`, for
            a folder; or one that ends in `.keras`, for a file that Keras 3 loads.
        overwrite: whether a file of this name is replaced.
        include_optimizer: whether compile options and training state are saved as well.
        wait: whether to return only when the model is on the disk. Otherwise a thread does the
            rest, of the arrays as they are now: the model may be trained and changed meanwhile.

    Returns:
        without `wait`, an object whose `wait()` returns when the model is on the disk, or raises
        what went wrong; otherwise None.

    Raises:
        ConfigError: something (a lambda, say) cannot be written down, or Keras has no counterpart
            for it; the message names it.
        ModelFileError: the path cannot be written to.
        StateError: another process is saving into the folder.
        OSError: the disk is full, or fails; or this happened before to a save to the same path, or
            of the same model, of which nobody has heard yet.
    """
    settle(filepath, model)
    refuse_other_ways(model)
    if keras_format_of(filepath) == "model":
        if not wait:
            raise ConfigError(
                "A file of Keras' is written before `save` returns", received="wait=False",
                hint="save as .kgraph, or into a folder: save('name/', wait=False)",
            )  # fmt: skip
        target = target_path(filepath, overwrite)
        write_once("save", partial(save_keras_model, model, target, include_optimizer))
        return None
    folder = asks_for_folder(filepath)
    path = folder_path(filepath, overwrite) if folder else save_path(filepath, overwrite)
    content = _content(model, include_optimizer, spread=folder)
    write = partial(FolderWriter(path).write if folder else partial(write_file, path), content)
    if not wait:
        mine = folder or is_leader()
        return start_save(path, write if mine else lambda: None, model)
    if folder:
        write()
    else:
        write_once("save", write)
    return None


def check_savable(model: Model, filepath: FilePath) -> None:
    """Raises what `save_model` raises if the model, or its training, cannot be written down.

    It also warns as a save does. No weight is read, and nothing is written.
    """
    refuse_other_ways(model)
    if keras_format_of(filepath) == "model":
        check_keras_model(model, Path(filepath))
    else:
        _prove(model, _documents(model, include_optimizer=True), None)


def _documents(model: Model, include_optimizer: bool) -> dict[str, bytes]:
    compiled = model.get_compile_config() if include_optimizer else None
    document = model_document(model)
    documents = {MODEL: strict_json.encode(document, label_of(model))}
    if compiled is not None:
        data = strict_json.encode({"compile": compiled}, f"The training of {label_of(model)}")
        documents[TRAINING_OPTIONS] = data
    return documents


def _content(model: Model, include_optimizer: bool, spread: bool) -> Content:
    documents = _documents(model, include_optimizer)
    with between_blocks:  # a training that runs goes on when both are read
        compiled = TRAINING_OPTIONS in documents
        training = model._kgraph.trainer.state() if compiled else None
        values: dict[str, Any] = weight_values(model)
    if not _prove(model, documents, training):
        training = None
    if training is not None:
        values |= tree_paths(training)
    files = assets_of(all_layers(model))
    values |= {path: np.frombuffer(data, np.uint8) for path, data in files.items()}
    graph = graph_of(model)
    arrays = snapshot(values, spread)
    return Content("model", documents, arrays, None if graph is None else graph.stored_hash)


def _prove(model: Model, documents: Mapping[str, bytes], training: Any) -> bool:
    """Rebuilds the model from what will be written and compares the two.

    Returns whether the training state belongs to the model as it is now.

    Raises:
        ConfigError: what comes out is another model.
    """
    compiled = TRAINING_OPTIONS in documents
    own = live_objects(model, *(model._kgraph.trainer.objects() if compiled else ()))
    with custom_object_scope(own):
        try:
            rebuilt = _rebuilt(documents[MODEL])
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise _unprovable(model, f"{type(error).__name__}: {reason}") from error
        compiles = compiled and is_overridden(model, "compile_from_config")
        if compiles:  # it may make weights, such as the variables of a second optimizer
            _compile_again(model, rebuilt, strict_json.decode(documents[TRAINING_OPTIONS]))
        if difference := _difference(model, rebuilt):
            raise _unprovable(model, difference)
        if compiled and not compiles:
            _compile_again(model, rebuilt, strict_json.decode(documents[TRAINING_OPTIONS]))
    warn_of_unregistered(label_of(model), own)
    if training is None or tree_specs(training) == tree_specs(
        rebuilt._kgraph.trainer.abstract_state()
    ):
        return training is not None
    warn(
        f"{label_of(model)} is saved without its training state, which belongs to other trainable "
        "weights than it has now: compile it again after freezing or unfreezing layers",
    )
    return False


def _rebuilt(data: bytes) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the user saw them when the model was made
        document = strict_json.decode(data)
        check_document(document)
        return model_from_document(document)


def _compile_again(model: Model, rebuilt: Any, data: Any) -> None:
    try:
        check_training(data, own=is_overridden(rebuilt, "compile_from_config"))
        rebuilt.compile_from_config(data["compile"])
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"The training of {label_of(model)} cannot be saved: it cannot be compiled again",
            received=f"{type(error).__name__}: {reason}",
            hint="a class of your own must take all it needs as arguments of __init__; or save "
            "without the training: include_optimizer=False",
        ) from error


def _unprovable(model: Model, reason: str) -> ConfigError:
    return ConfigError(
        f"{label_of(model)} cannot be saved: what would be read back is not the same model",
        received=reason,
        hint=[
            "a class of your own must take all it needs as arguments of __init__",
            "a model defined by code must have been called on data once: model(x)",
        ],
    )


def _difference(model: Model, rebuilt: Any) -> str | None:
    """Returns the first difference between a model and the one rebuilt from its description."""
    ours, theirs = weight_specs(model), weight_specs(rebuilt)
    for name in [*ours, *theirs]:
        if ours.get(name) != theirs.get(name):
            before, after = ours.get(name, "missing"), theirs.get(name, "missing")
            return f"{name} is {before} in the model and {after} when rebuilt"
    if list(ours) != list(theirs):
        return "the weights come in another order when rebuilt"
    trained, again = (
        {path for path, w in named_weights(m) if any(w is t for t in m.trainable_weights)}
        for m in (model, rebuilt)
    )
    if trained != again:
        return f"{min(trained ^ again)} is trained in only one of them"
    before, after = graph_of(model), graph_of(rebuilt)
    if (before and before.content_hash) != (after and after.content_hash):
        return "the graph is another one when rebuilt"
    return None
