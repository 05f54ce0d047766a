"""Saving: what is written has been read back, as a model, before it is put in place."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kgraph.errors import ConfigError
from kgraph.registry import custom_object_scope
from kgraph.saving import strict_json
from kgraph.saving.atomic import put_in_place, workshop
from kgraph.saving.container import pack
from kgraph.saving.description import live_classes, model_document, model_from_document
from kgraph.saving.manifest import Manifest
from kgraph.saving.orbax_adapter import write_arrays
from kgraph.saving.paths import save_path
from kgraph.saving.stored_arrays import (
    entry_of,
    tree_paths,
    tree_specs,
    weight_arrays,
    weight_specs,
)


def save_model(
    model: Any, filepath: Any, overwrite: bool = True, include_optimizer: bool = True
) -> None:
    """Writes a model to one file: graph, weights, compile options and training state.

    Before anything is written the model is rebuilt from its description and compared. The old file
    stays whole until the new one is complete and on the disk.

    Args:
        model: any model; one defined by code must have been called on data once.
        filepath: a name that ends in `.kgraph`, or one without a suffix.
        overwrite: whether a file of this name is replaced.
        include_optimizer: whether compile options and training state are saved as well.

    Raises:
        ConfigError: something (a lambda, say) cannot be written down; the message names it.
        ModelFileError: the path cannot be written to.
        OSError: the disk is full, or fails.
    """
    path = save_path(filepath, overwrite)
    compiled = model.compile_config() if include_optimizer else None
    document = model_document(model)
    documents = {"model.json": strict_json.encode(document, model.label)}
    if compiled is not None:
        data = strict_json.encode({"compile": compiled}, f"The training of {model.label}")
        documents["training.json"] = data
    training = model.training_state() if compiled is not None else None
    if not _prove(model, documents, training):
        training = None
    arrays = weight_arrays(model)
    if training is not None:
        arrays |= {name: np.asarray(leaf) for name, leaf in tree_paths(training).items()}
    graph = model.lowering_graph
    _write(path, "model", documents, arrays, None if graph is None else graph.content_hash)


def save_weights(model: Any, filepath: Any, overwrite: bool = True) -> None:
    """Writes the weights of a model to one file, by layer path.

    Args:
        model: a model that has its weights.
        filepath: a name that ends in `.kgraph` (`.weights.kgraph`, say), or one without a suffix.
        overwrite: whether a file of this name is replaced.

    Raises:
        ModelFileError: the path cannot be written to.
        OSError: the disk is full, or fails.
    """
    path = save_path(filepath, overwrite)
    _write(path, "weights", {}, weight_arrays(model), None)


def _prove(model: Any, documents: Mapping[str, bytes], training: Any) -> bool:
    """Rebuilds the model from what will be written and compares the two.

    Returns whether the training state belongs to the model as it is now.

    Raises:
        ConfigError: what comes out is another model.
    """
    options = getattr(model, "_options", None)
    classes = live_classes(model, model.optimizer, vars(options) if options is not None else {})
    with custom_object_scope(classes):
        try:
            rebuilt = _rebuilt(documents["model.json"])
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            raise _unprovable(model, f"{type(error).__name__}: {reason}") from error
        if difference := _difference(model, rebuilt):
            raise _unprovable(model, difference)
        if "training.json" in documents:
            rebuilt.compile_from_config(strict_json.decode(documents["training.json"])["compile"])
    if training is None or tree_specs(training) == tree_specs(rebuilt.abstract_training_state()):
        return training is not None
    warnings.warn(
        f"{model.label} is saved without its training state, which belongs to other trainable "
        "weights than it has now: compile it again after freezing or unfreezing layers",
        UserWarning,
        stacklevel=4,
    )
    return False


def _rebuilt(data: bytes) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the user saw them when the model was made
        return model_from_document(strict_json.decode(data))


def _unprovable(model: Any, reason: str) -> ConfigError:
    return ConfigError(
        f"{model.label} cannot be saved: what would be read back is not the same model",
        received=reason,
        hint=[
            "a class of your own must take all it needs as arguments of __init__",
            "a model defined by code must have been called on data once: model(x)",
        ],
    )


def _difference(model: Any, rebuilt: Any) -> str | None:
    """Returns the first difference between a model and the one rebuilt from its description."""
    ours, theirs = weight_specs(model), weight_specs(rebuilt)
    for name in [*ours, *theirs]:
        if ours.get(name) != theirs.get(name):
            before, after = ours.get(name, "missing"), theirs.get(name, "missing")
            return f"{name} is {before} in the model and {after} when rebuilt"
    if list(ours) != list(theirs):
        return "the weights come in another order when rebuilt"
    trained, again = (
        {path for path, w in m.named_weights() if any(w is t for t in m.trainable_weights)}
        for m in (model, rebuilt)
    )
    if trained != again:
        return f"{min(trained ^ again)} is trained in only one of them"
    before, after = model.lowering_graph, rebuilt.lowering_graph
    if (before and before.content_hash) != (after and after.content_hash):
        return "the graph is another one when rebuilt"
    return None


def _write(
    path: Path,
    kind: str,
    documents: Mapping[str, bytes],
    arrays: Mapping[str, np.ndarray],
    graph_hash: str | None,
) -> None:
    entries = [entry_of(name, array) for name, array in arrays.items()]
    with _naming(path), workshop(path) as folder:
        write_arrays(folder / "arrays", list(arrays.values()))
        new = folder / "new"
        pack(new, Manifest(kind, {}, entries, graph_hash), documents, folder / "arrays")
        put_in_place(new, path)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Adds the path to errors of the system that lack it, such as a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
