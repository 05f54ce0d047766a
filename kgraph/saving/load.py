"""Loading: everything is checked before memory is taken, and nothing from the file is run."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from kgraph.errors import ModelFileError, StateError
from kgraph.layers.base import Layer
from kgraph.registry import custom_object_scope, get_registered_object
from kgraph.saving.container import Container, open_container
from kgraph.saving.description import model_from_document
from kgraph.saving.file_error import file_error, refusing, shown
from kgraph.saving.manifest import KGRAPH_VERSION
from kgraph.saving.stored_arrays import (
    TRAINING,
    WEIGHTS,
    compare,
    read_verified,
    tree_paths,
    tree_specs,
    weight_specs,
)
from kgraph.types import Array

_CUSTOM = "pass classes of your own by name: load_model(path, custom_objects={'Name': Name})"
_REPORTED = 6


def load_model(
    filepath: Any,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """Returns the model that `save_model` wrote, ready to go on training as if never saved.

    Nothing from the file is executed, imported or fetched: it can name only kgraph's own classes
    and those given here or registered. No initializer runs.

    Args:
        filepath: the file.
        custom_objects: your own classes and functions by name.
        compile: whether compile options and training state are restored as well.
        safe_mode: accepted as in Keras; loading is never anything but safe.

    Raises:
        ModelFileError: the file is missing, damaged, foreign, or does not match.
    """
    del safe_mode
    path = Path(os.fspath(filepath))
    with open_container(path) as container, custom_object_scope(custom_objects):
        if container.manifest.kind != "model":
            raise file_error(
                path, "holds weights only", hint="build the model and call model.load_weights(path)"
            )
        document = container.read("model.json")
        with refusing(path, "cannot be rebuilt", member="model.json", hint=_CUSTOM):
            model = model_from_document(document)
            expected = weight_specs(model)
        _check_graph(container, model, document)
        trained = _compile(container, model) if compile else False
        if trained:
            expected |= tree_specs(model.abstract_training_state())
        entries = container.manifest.arrays
        wanted = [e for e in entries if trained or not e.path.startswith(TRAINING)]
        compare(path, expected, wanted)
        with tempfile.TemporaryDirectory(prefix="kgraph-") as folder:
            arrays = read_verified(container, Path(folder), set(expected))
    _assign(model, arrays)
    if trained:
        _restore_training(model, arrays)
    return model


def load_weights(model: Any, filepath: Any, skip_mismatch: bool = False) -> None:
    """Sets the weights of a model from a file of weights or of a model, by layer path.

    All are set, or none. Floats are brought to the dtype of the weight.

    Args:
        model: a model that has its weights.
        filepath: the file.
        skip_mismatch: whether weights that are not in both, or differ in shape, are left as they
            are, with a warning, in the place of an error.

    Raises:
        StateError: the model has no weights yet.
        ModelFileError: the file is missing or damaged, or its weights are not those of the model.
    """
    path = Path(os.fspath(filepath))
    expected = weight_specs(model)
    with open_container(path) as container:
        entries = [e for e in container.manifest.arrays if e.path.startswith(WEIGHTS)]
        if not expected and entries:
            raise StateError(f"{model.label} has no weights yet", hint="call it on data once")
        found = {e.path: str(e) for e in entries}
        rows = list(_mismatches(expected, found))
        if rows and not skip_mismatch:
            raise _report(path, rows)
        fitting = set(expected) - {name for name, _, _ in rows}
        with tempfile.TemporaryDirectory(prefix="kgraph-") as folder:
            arrays = read_verified(container, Path(folder), fitting)
    if rows:
        warnings.warn(str(_report(path, rows)), UserWarning, stacklevel=3)
    _assign(model, arrays)


def _assign(model: Layer, arrays: Mapping[str, Array]) -> None:
    for name, weight in model.named_weights():
        if (array := arrays.get(WEIGHTS + name)) is not None:
            weight.path = weight.path or name
            weight.assign(array)


# --- training ------------------------------------------------------------------------------------


def _compile(container: Container, model: Any) -> bool:
    """Compiles the model as the file says; returns whether it holds a training state as well."""
    if "training.json" not in container.manifest.members:
        return False
    data = container.read("training.json")
    with refusing(
        container.path, "cannot be compiled", member="training.json",
        hint=f"{_CUSTOM}, or compile=False",
    ):  # fmt: skip
        model.compile_from_config(data["compile"])
    return any(entry.path.startswith(TRAINING) for entry in container.manifest.arrays)


def _restore_training(model: Any, arrays: Mapping[str, Array]) -> None:
    abstract = model.abstract_training_state()
    leaves = [arrays[name] for name in tree_paths(abstract)]
    model.restore_training_state(jax.tree.unflatten(jax.tree.structure(abstract), leaves))


# --- comparing -----------------------------------------------------------------------------------


def _check_graph(container: Container, model: Any, document: Any) -> None:
    """Compares the rebuilt graph with the saved one.

    Between versions of kgraph, and where the user's own classes take part, a difference may be
    meant: then it is a warning.
    """
    graph, saved = model.lowering_graph, container.manifest
    if (None if graph is None else graph.content_hash) == saved.graph_hash:
        return
    own = [name for name in _class_names(document) if get_registered_object(name) is not None]
    if saved.kgraph_version == KGRAPH_VERSION and not own:
        raise file_error(
            container.path, "describes another graph than was saved", member="model.json",
            expected=saved.graph_hash, received=None if graph is None else graph.content_hash,
        )  # fmt: skip
    cause = f"your {shown(own[0])} has changed" if own else f"it was {saved.kgraph_version} then"
    warnings.warn(
        f"The graph of {model.label} is not quite the one that was saved (perhaps {cause}). "
        "Its weights fit.",
        UserWarning,
        stacklevel=3,
    )


def _class_names(data: Any) -> Iterator[str]:
    waiting = [data]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if isinstance(item.get("class_name"), str):
                yield item["class_name"]
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _mismatches(
    expected: Mapping[str, str], found: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    """Yields name, what the model has and what the file has, for each weight that cannot be set."""
    for name in dict.fromkeys([*expected, *found]):
        ours, theirs = expected.get(name, "-"), found.get(name, "-")
        if ours != theirs and not _castable(ours, theirs):
            yield name, ours, theirs


def _castable(ours: str, theirs: str) -> bool:
    shape, _, dtype = ours.rpartition(" ")
    other, _, stored = theirs.rpartition(" ")
    if shape != other or "-" in (ours, theirs):
        return False
    return all(jnp.issubdtype(jnp.dtype(name), jnp.floating) for name in (dtype, stored))


def _report(path: Path, rows: list[tuple[str, str, str]]) -> ModelFileError:
    """Returns the error that shows both sides of each weight that does not fit."""
    lines = [
        f"{shown(name.removeprefix(WEIGHTS), 40):<30} {ours:<22} {theirs}"
        for name, ours, theirs in rows[:_REPORTED]
    ]
    more = [f"and {len(rows) - _REPORTED} more"] if len(rows) > _REPORTED else []
    return ModelFileError(
        f"The file {shown(str(path)[-60:])!r} has other weights than the model",
        weights=[f"{'name':<30} {'model':<22} file", *lines, *more],
        hint="load it into the model it was saved from, or pass skip_mismatch=True",
    )
