"""Values of a Keras config as objects of kgraph: layers, initializers, losses, optimizers, ..."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kgraph.custom_objects import get_registered_object
from kgraph.declared import is_own
from kgraph.errors import KGraphError, ModelFileError
from kgraph.hooks import is_overridden
from kgraph.keras_forms import (
    KERAS_OPTIONS,
    KINDS,
    LAMBDA,
    is_special,
    kind_and_name,
    says_nothing,
    special_value,
)
from kgraph.layers.base import Layer
from kgraph.registry import describe, keras_function, lookup
from kgraph.saving.files.file_error import file_error, refusing
from kgraph.saving.keras_format.archive import CONFIG
from kgraph.saving.keras_format.names import NEEDED, is_exchanged
from kgraph.types import Config

CUSTOM = "pass classes and functions of your own: load_model(path, custom_objects={'Name': Name})"


class ObjectReader:
    """Makes objects from the config of one file.

    Classes are looked up in kgraph's registry, among what the user registered, and in the
    `custom_objects` in force; nothing is imported by name.

    Args:
        path: the file, for messages; None of a config from elsewhere.
        make_model: makes models; called with the class, the config of a model and its place.
    """

    def __init__(
        self,
        path: Path | None,
        make_model: Callable[[ObjectReader, Any, Mapping[str, Any], str], Layer],
    ) -> None:
        self.path = path
        self._make_model = make_model
        self._shared: dict[int, Any] = {}

    def error(self, what: str, at: str, **facts: Any) -> ModelFileError:
        """Returns the error for a fault at a place in the config."""
        member = None if self.path is None else CONFIG
        return file_error(self.path, what, member=member, at=at or None, **facts)

    def text(self, data: Any, key: str, at: str) -> str:
        """Returns a text of up to 1000 characters that stands under a key."""
        found = data.get(key) if isinstance(data, Mapping) else None
        if not isinstance(found, str) or not found or len(found) > 1000:
            raise self.error("is no Keras config", f"{at}.{key}", expected="text", received=found)
        return found

    # --- values ----------------------------------------------------------------------------------

    def value(self, data: Any, at: str) -> Any:
        """Returns what a JSON value of a config stands for."""
        if isinstance(data, list):
            return [self.value(item, f"{at}[{i}]") for i, item in enumerate(data)]
        if not isinstance(data, dict):
            return data
        name = data.get("class_name")
        if name is None or "config" not in data:
            return {key: self.value(item, f"{at}.{key[:40]}") for key, item in data.items()}
        if name == "function":
            return self._function(data, at)
        if is_special(data):
            return self._special(name, data["config"], at)
        return self.instance(data, at)

    def _special(self, name: str, config: Any, at: str) -> Any:
        if name == "__lambda__":
            raise self.error("holds a lambda", at, received="marshalled code", hint=LAMBDA)
        with refusing(self.path, "holds a value that kgraph has not", member=CONFIG, at=at):
            return special_value(name, config)

    def _function(self, data: Mapping[str, Any], at: str) -> Any:
        """Returns a function: kgraph's own, or one that the user gave under its name."""
        if isinstance(data["config"], Mapping):
            raise self.error("holds a function as code", at, hint=LAMBDA)
        name, module, label = self.text(data, "config", at), data.get("module"), None
        if module not in KINDS:
            label = data.get("registered_name")
        found = get_registered_object(label) if isinstance(label, str) else None
        with refusing(
            self.path, "needs a function that is not known", member=CONFIG, at=at, hint=CUSTOM
        ):
            return found or keras_function(module, name)

    # --- objects ---------------------------------------------------------------------------------

    def instance(self, data: Any, at: str) -> Any:
        """Returns the object that a config stands for: one object for each shared id."""
        shared = data.get("shared_object_id") if isinstance(data, Mapping) else None
        if isinstance(shared, int) and shared in self._shared:
            return self._shared[shared]
        cls, is_own = self.find_class(data, at)
        config = data["config"]
        if not isinstance(config, Mapping):
            raise self.error("is no Keras config", f"{at}.config", expected="options")
        if inspect.isclass(cls) and issubclass(cls, Layer) and hasattr(cls, "_kgraph_live"):
            made: Any = self._make_model(self, cls, data, at)
        else:
            made = self._plain(cls, is_own, config, at)
            build = data.get("build_config")
            if isinstance(build, Mapping) and is_overridden(made, "build_from_config"):
                made._kgraph_build_from(self.value(build, f"{at}.build_config"))
        if isinstance(shared, int):
            self._shared[shared] = made
        return made

    def find_class(self, data: Any, at: str) -> tuple[Any, bool]:
        """Returns the class that a config names, and whether it is kgraph's own."""
        name = self.text(data, "class_name", at)
        module, registered = data.get("module"), data.get("registered_name")
        kind, own_name = kind_and_name(module, name)
        if kind is not None and registered in (None, name, f"keras>{name}"):
            if kind == "layer" and not is_exchanged(own_name):
                raise self.error("needs a class that kgraph has not", at, received=name)
            with refusing(
                self.path, "needs a class that kgraph has not", member=CONFIG, at=at,
                hint="replace it before saving",
            ):  # fmt: skip
                return _own_class(kind, "Model" if name == "Functional" else own_name), True
        for label in (registered, name):
            if kind is None and isinstance(label, str):
                found = get_registered_object(label)
                if inspect.isclass(found) and hasattr(found, "from_config"):
                    return found, False
        raise self.error(
            "needs a class that is neither kgraph's nor given", at,
            expected="a class of keras' public modules, or of yours",
            received=f"{name} of {module}, registered as {registered}", hint=CUSTOM,
        )  # fmt: skip

    def _check_release(self, cls: Any, options: Mapping[str, object], at: str) -> None:
        if missing := NEEDED.get(cls.__name__, frozenset()) - set(options):
            raise self.error(
                "is of an older Keras, which computes otherwise", at, expected=sorted(missing)[0],
                received=cls.__name__, hint="load it with compile=False",
            )  # fmt: skip

    def _plain(self, cls: Any, is_own: bool, config: Config, at: str) -> Any:
        options = {
            key: self.value(item, f"{at}.config.{key[:40]}")
            for key, item in config.items()
            if not says_nothing(cls, key, item)
        }
        if not is_own and "from_config" in vars(cls):
            options = {key: describe(item) for key, item in options.items()}
        if is_own:
            self._check_release(cls, options, at)
            options = {**_repaired(cls, options), **KERAS_OPTIONS.get(cls.__name__, {})}
        try:
            return cls.from_config(options)
        except ModelFileError:
            raise
        except Exception as error:
            what = error.what if isinstance(error, KGraphError) else str(error)
            raise self.error(
                "has an object that cannot be made", at, expected=cls.__name__, received=what
            ) from error


def _repaired(cls: Any, options: dict[str, object]) -> dict[str, Any]:
    """Returns options as the class takes them, where Keras writes what its own class refuses."""
    if not issubclass(cls, Layer):
        return {key: item for key, item in options.items() if key != "shared_object_id"}
    options.pop("vocabulary_size", None)  # follows from the vocabulary
    if cls.__name__ != "RandomShear":
        return options
    return {key: _one_number(item) if "factor" in key else item for key, item in options.items()}


def _one_number(factor: Any) -> Any:
    """Returns the number for which a pair `[-f, f]` stands."""
    if isinstance(factor, list) and len(factor) == 2 and factor[0] == -factor[1]:
        return factor[1]
    return factor


def _own_class(kind: str, name: str) -> Any:
    """Returns a class of kgraph's own; what the user passed cannot take its place."""
    found = lookup(kind, name)
    if not inspect.isclass(found) or not is_own(found):
        raise LookupError(f"{name!r} is no class of kgraph")
    if found.__name__ != name:
        raise LookupError(f"{name!r} is an alias")
    return found
