"""What `compile` was given, from a Keras file and for one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgraph.hooks import is_overridden
from kgraph.layers.base import Layer
from kgraph.saving.files.file_error import refusing
from kgraph.saving.keras_format.archive import CONFIG
from kgraph.saving.keras_format.names import SPELLED
from kgraph.saving.keras_format.objects_in import CUSTOM, ObjectReader

if TYPE_CHECKING:
    from kgraph.models.model import Model


KNOWN = ("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics")
_IGNORED = ("run_eagerly", "steps_per_execution", "jit_compile", "auto_scale_loss")
"""How Keras runs steps. What they compute is the same."""
_KINDS = {"loss": "loss", "metrics": "metric", "weighted_metrics": "metric"}


def read_compile_options(path: Path | None, model: Model, data: Any) -> None:
    """Compiles a model as its file says, or as its class does with what the file has.

    Raises:
        ModelFileError: an option is not known, or names what kgraph has not.
    """
    reader = ObjectReader(path, _no_model)
    if not isinstance(data, Mapping):
        raise reader.error("is no Keras config", "compile_config", expected="options")
    if is_overridden(model, "compile_from_config"):
        with _compiling(path):
            model.compile_from_config(data)
        return
    if is_overridden(model, "compile"):
        return  # as in Keras: who knows what it takes
    for key in data:
        if key not in (*KNOWN, *_IGNORED):
            raise reader.error("has a compile option not known", "compile_config", received=key)
    options = {
        key: reader.value(item, f"compile_config.{key}")
        for key, item in data.items()
        if key in KNOWN
    }
    with _compiling(path):
        model.compile(**options)


def _compiling(path: Path | None) -> AbstractContextManager[None]:
    return refusing(
        path, "cannot be compiled", member=CONFIG, at="compile_config",
        hint=f"{CUSTOM}, or compile=False",
    )  # fmt: skip


def _no_model(reader: ObjectReader, _cls: Any, _data: Any, at: str) -> Layer:
    raise reader.error("has a model among its compile options", at)


def compile_config(plain: Mapping[str, object]) -> dict[str, Any]:
    """Returns Keras' form of compile options that are Keras' values already."""
    fixed = {"run_eagerly": False, "steps_per_execution": 1, "jit_compile": "auto"}
    said = {key: plain.get(key) for key in KNOWN}
    for key, kind in _KINDS.items():
        said[key] = _spelled(said[key], SPELLED[kind])
    return {**said, **fixed}


def _spelled(item: object, names: Mapping[str, str]) -> Any:
    """Returns options with names as Keras spells them."""
    if isinstance(item, str):
        return names.get(item, item)
    if isinstance(item, list):
        return [_spelled(part, names) for part in item]
    if isinstance(item, dict) and "class_name" not in item:
        return {key: _spelled(part, names) for key, part in item.items()}
    return item
