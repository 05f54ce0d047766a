"""Objects of kgraph as values of a Keras config, with a list of all that cannot be said."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from kgraph.custom_objects import get_registered_name
from kgraph.declared import is_own
from kgraph.descriptions import Opaque
from kgraph.errors import ConfigError
from kgraph.graph.dims import BATCH, unnamed_dims
from kgraph.keras_forms import INSIDE, KERAS_OPTIONS, kind_and_name
from kgraph.layers.base import InputLayer, Layer
from kgraph.registry import Recorded, describe, has_own, recorded_arguments
from kgraph.saving.files.file_error import shown
from kgraph.saving.keras_format.names import (
    LEFT_OUT,
    MODULES,
    SPELLED,
    UNWRITTEN,
    is_exchanged,
)
from kgraph.types import Config

_REPORTED = 50
_HINT = (
    "save it as a .kgraph file; or use what Keras has in these places; register functions of your "
    "own (@kgraph.saving.register_keras_serializable()); leave out what compile was given "
    "(include_optimizer=False)"
)


class ObjectWriter:
    """Writes objects down as Keras does. What Keras has not is collected, to be told at once."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._seen: set[int] = set()

    def cannot(self, place: str, why: str) -> None:
        """Notes a part of the model that a Keras file cannot say."""
        line = f"{place}: {why}"
        if line not in self.problems:
            self.problems.append(line)

    def check(self, label: str) -> None:
        """Raises ConfigError if there was any such part."""
        if not self.problems:
            return
        rows = [shown(line, 150) for line in self.problems[:_REPORTED]]
        more = len(self.problems) - len(rows)
        raise ConfigError(
            f"{label} cannot be written as a Keras file",
            received=rows + ([f"and {more} more"] if more else []),
            hint=_HINT,
        )

    # --- values ----------------------------------------------------------------------------------

    def value(self, item: object, place: str) -> Any:
        """Returns a value as JSON types in Keras' form."""
        if isinstance(item, Layer):
            return self.layer(item, place)
        if isinstance(item, Recorded) and item._kgraph_kind == "feature":  # it holds a layer
            config = self.value(recorded_arguments(item), place)
            return _object(MODULES["feature"], type(item).__name__, config)
        if item is None or isinstance(item, (bool, str, int)):
            return item
        if isinstance(item, float):
            return self._number(item, place)
        if isinstance(item, (list, tuple)):
            return [self.value(part, place) for part in item]
        if isinstance(item, Mapping):
            return self._mapping(item, place)
        if isinstance(item, Opaque) and item.name is not None:
            return self._function("custom", item.name, place)
        if isinstance(item, Opaque):
            self.cannot(place, re.sub(" at 0x[0-9a-f]+", "", item.text))
            return None
        return self.value(describe(item), place)

    def _number(self, item: float, place: str) -> float | None:
        if math.isfinite(item):
            return item
        self.cannot(place, f"{item} is no JSON number")
        return None

    def _mapping(self, item: Mapping[str, Any], place: str) -> Any:
        """Returns a dict, or the object that a description of kgraph's stands for."""
        keys = set(item)
        if keys == {"kind", "class_name", "config"}:
            return self._described(item, place)
        if keys == {"kind", "function"}:
            return self._function(item["kind"], item["function"], place)
        if keys == {"slice"}:
            parts = dict(zip(("start", "stop", "step"), item["slice"]))
            return {"class_name": "__slice__", "config": parts}
        if keys == {"ellipsis"}:
            return {"class_name": "__ellipsis__", "config": {}}
        if keys == {"array", "dtype"}:
            config = {"value": item["array"], "dtype": item["dtype"]}
            return {"class_name": "__numpy__", "config": config}
        if keys == {"float"}:
            return self._number(float(item["float"]), place)
        return {str(key): self.value(part, f"{place}.{key}") for key, part in item.items()}

    def _described(self, item: Mapping[str, Any], place: str) -> Any:
        kind, name = str(item["kind"]), str(item["class_name"])
        config = self.value(item["config"], place)
        if kind not in MODULES or not has_own(kind, name):
            return _custom(name, config)
        return _object(MODULES[kind], name, known_to_all(config))

    def _function(self, kind: str, name: str, place: str) -> Any:
        if name.startswith("jax.") and name not in SPELLED.get(kind, {}):
            self.cannot(place, f"the function {name}")
            return None
        if kind in MODULES:
            return SPELLED.get(kind, {}).get(name, name)
        if kind != "custom":
            self.cannot(place, f"a function of kind {kind}")
            return None
        return {
            "module": "custom", "class_name": "function", "config": name,
            "registered_name": name,
        }  # fmt: skip

    # --- layers ----------------------------------------------------------------------------------

    def layer(self, layer: Layer, place: str, name: str | None = None) -> dict[str, Any]:
        """Returns a layer as Keras writes it.

        A layer has one place in a file. Keras tries to keep one that is in two models by a number,
        but then takes the calls of the first for those of the second.
        """
        if id(layer) in self._seen and not isinstance(layer, InputLayer):  # that has no weights
            self.cannot(place or layer.name, "it is shared between two models or wrappers")
        self._seen.add(id(layer))
        return self._layer(layer, place, name or layer.name)

    def _layer(self, layer: Layer, place: str, name: str) -> dict[str, Any]:
        if isinstance(layer, InputLayer):
            return self._input(layer, name)
        cls = type(layer)
        if is_own(type(layer)) and not is_exchanged(cls.__name__):
            self.cannot(place, f"Keras has no {cls.__name__}")
            return _object(MODULES["layer"], cls.__name__, {})
        config = self.options(layer, place, name)
        if not is_own(type(layer)):
            made = _custom(get_registered_name(cls), config)
            build = layer._kgraph_build_config()
            return made if build is None else {**made, "build_config": self.value(build, place)}
        module, name = INSIDE.get(cls.__name__, (MODULES["layer"], cls.__name__))
        return _object(module, name, config)

    def options(self, layer: Layer, place: str, name: str) -> dict[str, Any]:
        """Returns the options of a layer: recorded arguments, or what its own get_config says."""
        own = type(layer).get_config is Layer.get_config and is_own(type(layer))
        found = recorded_arguments(layer) if own else dict(layer.get_config())
        config = {key: self.value(item, f"{place}.{key}") for key, item in found.items()}
        config.update(name=name, trainable=layer._kgraph.trainable, dtype=policy(layer))
        if not is_own(type(layer)):
            return config
        name_of_class = type(layer).__name__
        unwritten = {*UNWRITTEN.get(name_of_class, ()), *KERAS_OPTIONS.get(name_of_class, ())}
        return {key: item for key, item in known_to_all(config).items() if key not in unwritten}

    def _input(self, layer: InputLayer, name: str) -> dict[str, Any]:
        dims = layer.tensor_spec.dims
        named = [n for n in dims if isinstance(n, str) and n != BATCH and not unnamed_dims([n])]
        for dim in named:
            self.cannot(f"{name!r} (InputLayer)", f"the named size {dim!r}")
        config = {
            "batch_shape": [None if isinstance(n, str) else n for n in dims], "dtype": layer.dtype,
            "sparse": False, "name": name,
        }  # fmt: skip
        if layer.optional:
            config["optional"] = True
        return _object(MODULES["layer"], "InputLayer", config)


def known_to_all(config: Config) -> dict[str, Any]:
    """Returns options without those that older releases of Keras do not know, nor need here."""
    return {k: v for k, v in config.items() if not (k in LEFT_OUT and v == LEFT_OUT[k])}


def policy(layer: Layer) -> dict[str, Any]:
    """Returns the dtypes of a layer as Keras writes them: of one that hashes, that of its bins."""
    name = getattr(layer, "output_dtype", None) if is_own(type(layer)) else None
    return _object("keras", "DTypePolicy", {"name": name or layer.dtype_policy.name})


def _object(module: str, name: str, config: Any) -> dict[str, Any]:
    assert kind_and_name(module, name)[0] is not None
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


def _custom(name: str, config: Any) -> dict[str, Any]:
    """Returns an object of a class of the user's, by the name under which Keras is to know it."""
    short = name.rpartition(">")[2]
    return {"module": "custom", "class_name": short, "config": config, "registered_name": name}
