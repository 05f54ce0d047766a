"""Models of a Keras config: functional, Sequential, and the user's own classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from kgraph.compiler.lower import is_model
from kgraph.declared import is_own
from kgraph.errors import GraphError, KGraphError, ModelFileError
from kgraph.layers.base import InputLayer, Layer
from kgraph.layers.base.first_keys import with_values
from kgraph.option_types import check_option_types
from kgraph.registry import describe
from kgraph.saving.files.file_error import refusing
from kgraph.saving.keras_format.archive import CONFIG
from kgraph.saving.keras_format.functional_in import keep_name, read_functional
from kgraph.saving.keras_format.inputs_in import InputSizes, Sharing, input_layer
from kgraph.saving.keras_format.objects_in import CUSTOM, ObjectReader
from kgraph.saving.keras_format.weight_paths import LayerOrder, live_order
from kgraph.types import Config

_SHARING: tuple[Sharing, ...] = ("none", "axis", "all")
_GRAPH = {"layers", "input_layers", "output_layers"}


class ModelReader:
    """Makes the model of one file, or of a config from elsewhere (path None).

    Attributes:
        order: for each functional model the layers in the order of the file, by which weights are
            stored.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.order: LayerOrder = {}
        self._sizes = InputSizes()

    def read(self, data: Any) -> Any:
        """Returns the model that the config of a file describes, weights without values.

        Raises:
            ModelFileError: it describes none, or one that kgraph cannot make.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("config"), Mapping):
            raise ObjectReader(self.path, self._make).error(
                "describes no model", "", expected="class_name and config"
            )
        model = self._attempt(lambda reader: reader.instance(data, ""))
        if not is_model(model) and not hasattr(model, "save"):  # a FeatureSpace stands alone
            raise ObjectReader(self.path, self._make).error(
                "describes no model", "", received=type(model).__name__
            )
        self.order = {**live_order(model), **self.order}  # its code may make others
        return model

    def read_as(self, cls: Any, config: Config) -> Any:
        """Returns a model of this class from the config of a functional model."""
        return self._attempt(lambda reader: self._make(reader, cls, {"config": config}, ""))

    def _attempt(self, make: Callable[[ObjectReader], Any]) -> Any:
        """Returns the model under the first reading of its unknown sizes that fits.

        A fault that has nothing to do with sizes is raised at once.
        """
        first: ModelFileError | None = None
        for sharing in _SHARING:
            self.order, self._sizes = {}, InputSizes(sharing)
            try:
                with with_values():
                    return make(ObjectReader(self.path, self._make))
            except ModelFileError as error:
                first = first or error
                if not self._sizes.used or not isinstance(error.__cause__, GraphError):
                    break
        assert first is not None
        raise first

    def _make(self, reader: ObjectReader, cls: Any, data: Mapping[str, Any], at: str) -> Layer:
        config, place = data["config"], f"{at}.config".lstrip(".")
        if set(config) >= _GRAPH:
            model = self._functional(reader, cls, config, place)
        elif cls._kgraph_is_sequential and isinstance(config.get("layers"), list):
            model = self._sequential(reader, cls, data, place)
        else:
            model = self._coded(reader, cls, data, place)
        trainable = config.get("trainable", True)
        with refusing(reader.path, "has an option of another type", member=CONFIG, at=place):
            check_option_types(Layer, {"trainable": trainable})
        model._kgraph.trainable = trainable
        return model

    def _functional(self, reader: ObjectReader, cls: Any, config: Any, at: str) -> Any:
        parts = read_functional(reader, config, at, self._sizes)
        common = {*_GRAPH, "name", "trainable", "dtype"}
        rest = {k: reader.value(v, f"{at}.{k}") for k, v in config.items() if k not in common}
        with refusing(reader.path, "describes a graph that is none", member=CONFIG, at=at):
            model = cls(parts.inputs, parts.outputs, **rest)
        self.order[id(model)] = parts.layers
        _name(reader, model, config, at)
        return model

    def _sequential(self, reader: ObjectReader, cls: Any, data: Any, at: str) -> Any:
        config = data["config"]
        layers: list[Layer] = []
        for i, entry in enumerate(config["layers"]):
            place = f"{at}.layers[{i}]"
            if not isinstance(entry, Mapping):
                raise reader.error("is no Keras config", place, expected="a layer")
            if entry.get("class_name") == "InputLayer":
                layer: Any = input_layer(reader, entry.get("config"), place, self._sizes)
            else:
                layer = reader.instance(entry, place)
            if not isinstance(layer, Layer):
                raise reader.error("has a layer that is none", place, received=type(layer).__name__)
            inner = entry.get("config")
            name = inner.get("name") if isinstance(inner, Mapping) else None
            if isinstance(name, str) and name:
                keep_name(reader, layer, name, place)
            layers.append(layer)
        with refusing(reader.path, "has layers that do not fit", member=CONFIG, at=at):
            model = cls(layers)
            shape = _build_shape(data)
            if model.graph is None and shape is not None:
                model.build(shape)
        self.order[id(model)] = [x for x in layers if not isinstance(x, InputLayer)]
        _name(reader, model, config, at)
        return model

    def _coded(self, reader: ObjectReader, cls: Any, data: Any, at: str) -> Any:
        """Returns a model whose class is the user's, built for the shape that the file notes."""
        config = {k: reader.value(v, f"{at}.{k[:40]}") for k, v in data["config"].items()}
        if is_own(cls):
            raise reader.error("describes a model without a graph", at, hint=CUSTOM)
        if "from_config" in vars(cls):
            config = {key: describe(item) for key, item in config.items()}
        try:
            model = cls.from_config(config)
            shape = _build_shape(data)
            if shape is not None:
                model._kgraph.programs.trace(jax.ShapeDtypeStruct((1, *shape[1:]), jnp.float32))
                model.built = True
        except Exception as error:
            what = error.what if isinstance(error, KGraphError) else str(error)
            raise reader.error(
                "has a model that cannot be made", at, expected=cls.__name__, received=what
            ) from error
        return model


def _name(reader: ObjectReader, model: Layer, config: Config, at: str) -> None:
    name = config.get("name")
    if isinstance(name, str) and name:
        keep_name(reader, model, name, at)


def _build_shape(data: Mapping[str, Any]) -> tuple[int | None, ...] | None:
    """Returns the shape of the one input that a model was built for, if the file notes it."""
    for shape in _noted_shapes(data):
        sizes = isinstance(shape, list) and 0 < len(shape) <= 32
        if sizes and all(n is None or (type(n) is int and 0 <= n < 2**31) for n in shape):
            return tuple(shape)
    return None


def _noted_shapes(data: Mapping[str, Any]) -> Iterator[Any]:
    build = data.get("build_config")
    if isinstance(build, Mapping):
        yield build.get("input_shape")
        shapes = build.get("shapes_dict")
        if isinstance(shapes, Mapping) and len(shapes) == 1:
            yield from shapes.values()
    yield data["config"].get("build_input_shape")
