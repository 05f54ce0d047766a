"""Models of Keras' configs that come from no file: `from_config`, `model_from_json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kgraph.custom_objects import custom_object_scope
from kgraph.errors import ConfigError, ModelFileError
from kgraph.saving.keras_format.compile_options import read_compile_options
from kgraph.saving.keras_format.models_in import ModelReader
from kgraph.types import Config, CustomObjects


def model_from_keras(data: Mapping[str, Any], custom_objects: CustomObjects | None = None) -> Any:
    """Returns the model that Keras' `to_json` describes, compiled if that says how.

    Raises:
        ConfigError: it describes none, or one that kgraph cannot make.
    """
    with custom_object_scope(custom_objects), _as_config():
        model = ModelReader(None).read(_lists(data))
        if data.get("compile_config"):
            read_compile_options(None, model, data["compile_config"])
    return model


def functional_from_keras(
    cls: type, config: Config, custom_objects: CustomObjects | None = None
) -> Any:
    """Returns a model of this class from what `get_config` of a functional model returns in Keras.

    Raises:
        ConfigError: the config is none, or has what kgraph cannot make.
    """
    with custom_object_scope(custom_objects), _as_config():
        return ModelReader(None).read_as(cls, _lists(config))


def _lists(data: Any) -> Any:
    """Returns a config as it is in a file, where tuples are lists."""
    if isinstance(data, Mapping):
        return {key: _lists(item) for key, item in data.items()}
    return [_lists(item) for item in data] if isinstance(data, (list, tuple)) else data


@contextmanager
def _as_config() -> Iterator[None]:
    try:
        yield
    except ModelFileError as error:
        raise ConfigError(error.what, **error.facts) from error.__cause__
