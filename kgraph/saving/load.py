"""Loading: everything is checked before memory is taken, and nothing from the file is run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from kgraph.compiler.lower import graph_of
from kgraph.custom_objects import custom_object_scope, get_registered_object
from kgraph.distribution.current import distribution
from kgraph.distribution.stored import stored_shardings
from kgraph.errors import ConfigError
from kgraph.hooks import is_overridden
from kgraph.layers.base import Layer
from kgraph.layers.base.between_blocks import between_blocks
from kgraph.layers.base.core import label_of
from kgraph.saving.files import strict_json
from kgraph.saving.files.file_error import file_error, harmless, reason_of, refusing, shown
from kgraph.saving.files.misfit import Misfit, check, check_keys
from kgraph.saving.files.pending import settle
from kgraph.saving.keras_format import keras_format_of, load_keras_model
from kgraph.saving.keras_format.configs import model_from_keras
from kgraph.saving.kgraph_format.array_entry import is_digest
from kgraph.saving.kgraph_format.array_reader import ShardingOf
from kgraph.saving.kgraph_format.container import Container, open_container
from kgraph.saving.kgraph_format.description import model_from_document
from kgraph.saving.kgraph_format.diagnose import culprit
from kgraph.saving.kgraph_format.document_check import OWN, check_document, check_values, objects_in
from kgraph.saving.kgraph_format.manifest import KGRAPH_VERSION, MODEL, TRAINING_OPTIONS
from kgraph.saving.kgraph_format.own_state import (
    ASSETS,
    all_layers,
    common_weights,
    load_assets,
    load_own,
    own_paths,
)
from kgraph.saving.kgraph_format.stored_arrays import (
    TRAINING,
    WEIGHTS,
    compare,
    tree_paths,
    tree_specs,
    weight_specs,
)
from kgraph.saving.orbax_folder import OrbaxWeights, orbax_config, orbax_step
from kgraph.saving.weight_report import compare_weights
from kgraph.source import warn
from kgraph.tracebacks import entry
from kgraph.types import Array, CustomObjects, FilePath
from kgraph.writing import local_path

if TYPE_CHECKING:
    from kgraph.models.model import Model


CUSTOM = "pass classes of your own by name: load_model(path, custom_objects={'Name': Name})"
_MODES = {
    "steps_per_execution": ("a number of steps", lambda v: type(v) is int and v >= 1),
    "run_eagerly": ("true", lambda v: v is True),
    "stack": ("true or false", lambda v: isinstance(v, bool)),
    "remat": ("a policy, or names of layers", lambda v: _is_remat(v)),
    "loss_in_pieces": ("true, false or a number of rows", lambda v: type(v) in (bool, int)),
}
_OPTIONS = {
    "optimizer", "loss", "loss_weights", "metrics", "weighted_metrics", "loss_fn", *_MODES,
}  # fmt: skip
_HDF5 = "build the model and call model.load_weights(path), or save it as .keras in Keras"


@entry
def load_model(
    filepath: FilePath,
    custom_objects: CustomObjects | None = None,
    compile: bool = True,
    safe_mode: bool = True,
    expect_sha256: str | None = None,
    shardings: ShardingOf | None = None,
) -> Any:
    """Returns the model that `save_model` wrote, ready to go on training as if never saved.

    Nothing from the file is executed, imported, fetched or written to the disk: it can name only
    kgraph's own classes and those given here or registered. No initializer runs.

    Args:
        filepath: the file or folder: kgraph's own, a file of Keras' that ends in `.keras`, or a
            folder of its `OrbaxCheckpoint`, whose optimizer's state is not read.
        custom_objects: your own classes and functions by name.
        compile: whether compile options and training state are restored as well.
        safe_mode: accepted as in Keras; loading is never anything but safe.
        expect_sha256: SHA-256 (hex) that the file must have; of a folder, its `manifest.json`. What
            no other check can find is a well-formed file with other weights.
        shardings: a function from path and shape of an array to the `jax.sharding.Sharding` that it
            is to have, or None for the first device. By default a distribution that is in force
            decides (`kgraph.distribution`). Paths are those of the file:
            `"weights/dense/kernel"`, `"training/['optimizer'].momentum['dense']['kernel']"`. From a
            folder, a process reads only the shards that its devices need.

    Raises:
        ModelFileError: the file is missing, damaged, foreign, or does not match.
        OSError: a save to this path in the background, which is waited for, failed.
    """
    del safe_mode
    path = Path(local_path(filepath))
    settle(path)
    if expect_sha256 is not None:
        expect_sha256 = expect_sha256.lower() if isinstance(expect_sha256, str) else expect_sha256
        if not is_digest(expect_sha256):
            raise ConfigError(
                "expect_sha256 is no SHA-256", expected="64 hexadecimal digits",
                received=repr(expect_sha256),
            )  # fmt: skip
    if (step := orbax_step(path)) is not None:
        if expect_sha256 is not None:
            raise ConfigError(
                "expect_sha256 is of one file or folder of kgraph's, or a file of Keras'",
                received=f"{os.fspath(path)!r}, which Keras' OrbaxCheckpoint wrote",
            )
        return _load_step(step, custom_objects, compile)
    if keras_format_of(path) == "model":
        return load_keras_model(path, custom_objects, compile, expect_sha256, shardings)
    if keras_format_of(path) is not None:
        raise file_error(path, "is no model: files in HDF5 hold weights only", hint=_HDF5)
    with open_container(path, expect_sha256) as container, custom_object_scope(custom_objects):
        if container.manifest.kind != "model":
            raise file_error(
                path, "holds weights only", hint="build the model and call model.load_weights(path)"
            )
        return _load(container, compile, shardings)


def _load_step(step: Path, custom_objects: CustomObjects | None, compile: bool) -> Any:
    """Returns the model of a step of Keras' `OrbaxCheckpoint`, without the optimizer's state."""
    with refusing(step, "has a config that cannot be read"):
        document = dict(strict_json.decode(orbax_config(step).encode()))
    if not compile:
        document.pop("compile_config", None)
    model = model_from_keras(document, custom_objects)
    with OrbaxWeights(step, model) as file:
        ours = {at.removeprefix(WEIGHTS): spec for at, spec in weight_specs(model).items()}
        report = compare_weights(ours, file.specs)
        if not report.complete:
            raise report.error(step, "build the model and call load_weights(path, strict=False)")
        read = file.read(report.loaded)
        assign(model, {f"{WEIGHTS}{at}": jax.device_put(array) for at, array in read})
    if model.compiled:
        warn(
            f"{label_of(model)} is compiled as the checkpoint of Keras' says, but its optimizer "
            "begins anew: what that remembered is not read"
        )
    return model


def _load(container: Container, compile: bool, shardings: ShardingOf | None) -> Any:
    path = container.path
    document = container.read(MODEL)
    model = _rebuilt(container, document)
    _check_graph(container, model, document)
    trained = _compile(container, model) if compile else False
    expected, is_own = weight_specs(model), own_paths(model)
    if trained:
        with refusing(path, "has a training state that does not fit", member=TRAINING_OPTIONS):
            expected |= tree_specs(model._kgraph.trainer.abstract_state())
    entries = [e for e in container.manifest.arrays if not e.path.startswith(ASSETS)]
    expected |= {e.path: str(e) for e in entries if is_own(e.path.removeprefix(WEIGHTS))}
    compare(path, expected, [e for e in entries if trained or not e.path.startswith(TRAINING)])
    if shardings is None and (spread := distribution()) is not None:
        shardings = stored_shardings(spread, model)
    arrays = dict(container.load_arrays(set(expected), shardings))
    assign(model, arrays)
    if trained:
        _restore_training(model, arrays)
    assets = {e.path for e in container.manifest.arrays if e.path.startswith(ASSETS)}
    load_assets(all_layers(model), {p: a.tobytes() for p, a in container.read_arrays(assets)})
    return model


def assign(model: Layer, arrays: Mapping[str, Array]) -> None:
    """Sets the weights of which there are arrays, by path."""
    with between_blocks:
        for name, weight in common_weights(model):
            if (array := arrays.get(WEIGHTS + name)) is not None:
                weight.assign(array)
        starts = {p: a for p, a in arrays.items() if p.startswith(WEIGHTS)}
        load_own(model, {path.removeprefix(WEIGHTS): array for path, array in starts.items()})


def _rebuilt(container: Container, document: Any) -> Any:
    """Returns the model that the file describes, without values."""
    with _describing(container, MODEL, "cannot be rebuilt"):
        check_document(document)
    try:
        return model_from_document(document)
    except Exception as error:
        place, found = culprit(document, error)
        raise file_error(
            container.path, "cannot be rebuilt", member=MODEL, at=place,
            expected="options that go together", received=reason_of(found), hint=CUSTOM,
        ) from harmless(error)  # fmt: skip


@contextlib.contextmanager
def _describing(container: Container, member: str, what: str) -> Iterator[None]:
    try:
        yield
    except Misfit as misfit:
        raise file_error(
            container.path, what, member=member, at=misfit.place, expected=misfit.expected,
            received=misfit.received, hint=CUSTOM if misfit.expected == OWN else None,
        ) from None  # fmt: skip


# --- training ------------------------------------------------------------------------------------


def _compile(container: Container, model: Model) -> bool:
    """Compiles the model as the file says; returns whether it holds a training state as well."""
    if TRAINING_OPTIONS not in container.manifest.members:
        return False
    data = container.read(TRAINING_OPTIONS)
    with _describing(container, TRAINING_OPTIONS, "cannot be compiled"):
        check_training(data, own=is_overridden(model, "compile_from_config"))
    with refusing(
        container.path, "cannot be compiled", member=TRAINING_OPTIONS, at="compile",
        hint=f"{CUSTOM}, or compile=False",
    ):  # fmt: skip
        model.compile_from_config(data["compile"])
    return any(entry.path.startswith(TRAINING) for entry in container.manifest.arrays)


def check_training(data: Any, own: bool = False) -> None:
    """Checks the whole of `training.json`; what a class of the user's reads by itself is any value.

    Raises:
        Misfit: it is not what a save writes; names the place.
    """
    check_keys("the training", data, {"compile"})
    options = data["compile"]
    check("compile", options, lambda found: isinstance(found, dict), "options by name")
    if own:
        check_values("compile", options)
        return
    check("compile", set(options), lambda keys: keys <= _OPTIONS, ", ".join(sorted(_OPTIONS)))
    for name in ("loss", "metrics", "weighted_metrics", "loss_fn"):
        check(f"compile.{name}", options.get(name), _are_names, "names or described objects")
    for name, (expected, fits) in _MODES.items():
        if name in options:
            check(f"compile.{name}", options[name], fits, expected)
    check_values("compile", options)


def _are_names(value: object) -> bool:
    """Tells whether a structure has names, described objects and None, and nothing else."""
    if isinstance(value, dict) and "kind" not in value:
        return all(map(_are_names, value.values()))
    if isinstance(value, list):
        return all(map(_are_names, value))
    return value is None or isinstance(value, (str, dict))


def _is_remat(value: object) -> bool:
    names = list(value.values()) if isinstance(value, dict) else value
    return isinstance(value, str) or (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    )


def _restore_training(model: Model, arrays: Mapping[str, Array]) -> None:
    abstract = model._kgraph.trainer.abstract_state()
    leaves = [arrays[name] for name in tree_paths(abstract)]
    model._kgraph.trainer.restore_state(jax.tree.unflatten(jax.tree.structure(abstract), leaves))


# --- comparing -----------------------------------------------------------------------------------


def _check_graph(container: Container, model: Model, document: Any) -> None:
    """Compares the rebuilt graph with the saved one.

    Where the user's own classes take part a difference may be meant: then it is a warning. Whatever
    version a file says it is of, it is compared: none has recorded graphs in another way so far.
    """
    graph, saved = graph_of(model), container.manifest
    found = None if graph is None else graph.stored_hash
    if found == saved.graph_hash:
        return
    classes = (item.get("class_name") for _, item in objects_in(document, ""))
    own = [n for n in classes if isinstance(n, str) and get_registered_object(n) is not None]
    if not own:
        version = shown(saved.kgraph_version)
        hint = f"load it with kgraph {version}, which wrote it, or a later one"
        raise file_error(
            container.path, "describes another graph than was saved", member=MODEL, at="model",
            expected=saved.graph_hash, received=found,
            hint=None if saved.kgraph_version == KGRAPH_VERSION else hint,
        )  # fmt: skip
    warn(
        f"The graph of {label_of(model)} is not quite the one that was saved (perhaps your "
        f"{shown(own[0])} has changed). Its weights fit.",
    )
