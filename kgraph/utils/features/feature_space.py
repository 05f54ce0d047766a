"""FeatureSpace: columns of a table, each prepared by a layer, and put together to vectors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from kgraph import layers
from kgraph.errors import ConfigError, DataError, GraphError, check_choice
from kgraph.graph.structure import map_structure
from kgraph.layers import Input, Layer
from kgraph.layers.base.core import label_of
from kgraph.layers.base.on_tensorflow import call_on_tensors, has_tensors
from kgraph.layers.preprocessing.adapting import items
from kgraph.registry import recorded_arguments
from kgraph.saving.keras_format.save import save_keras_layer
from kgraph.types import FilePath
from kgraph.utils.features import feature as kinds
from kgraph.utils.features.feature import TEXT, Cross, Feature, categories, learns

Encoded: TypeAlias = Any
"""Arrays or symbolic tensors: one in the mode "concat", by name in the mode "dict"."""


class FeatureSpace(Layer):
    """Prepares the columns of a table, and makes a vector of each row.

    Call it on a dict of columns: arrays or lists, with or without a batch axis, also of TensorFlow,
    so in `dataset.map(feature_space)`. Text is looked up on the host, so a space with text is no
    part of a model: a model takes what it makes, as `get_encoded_features` describes it.

    Args:
        features: by name a `Feature` (`FeatureSpace.float_normalized()`), or a word: "float",
            "float_normalized", "float_rescaled", "float_discretized", "integer_categorical",
            "string_categorical", "integer_hashed" or "string_hashed".
        output_mode: "concat" for a vector, its features in alphabetical order, those that are
            crossed behind; or "dict" for a vector of each.
        crosses: names of features that are crossed, or `FeatureSpace.cross(...)`.
        crossing_dim: number of bins of crosses.
        hashing_dim: number of bins of features that are hashed, where a word stands for them.
        num_discretization_bins: number of bins of "float_discretized".
        name: of the space.

    Raises:
        ConfigError: an option has a value it cannot have.
        DataError: (in a call) a column is missing, or nobody knows it.
        NotYetError: (in a call) `adapt` was not called, and would have had something to learn.

    >>> space = FeatureSpace({"size": "float", "kind": "string_categorical"})
    >>> space.adapt({"size": [1.0, 2.0, 4.0], "kind": ["b", "a", "b"]})
    >>> space({"size": [3.0], "kind": ["a"]}).tolist()  # unknown, b, a, size
    [[0.0, 0.0, 1.0, 3.0]]
    """

    float = staticmethod(kinds.plain)
    float_rescaled = staticmethod(kinds.rescaled)
    float_normalized = staticmethod(kinds.normalized)
    float_discretized = staticmethod(kinds.discretized)
    integer_categorical = staticmethod(kinds.integer_categories)
    string_categorical = staticmethod(kinds.text_categories)
    integer_hashed = staticmethod(kinds.hashed_integers)
    string_hashed = staticmethod(kinds.hashed_texts)
    feature = Feature
    cross = Cross

    def __init__(
        self,
        features: Mapping[str, str | Feature],
        output_mode: str = "concat",
        crosses: Sequence[Sequence[str] | Cross] | None = None,
        crossing_dim: int = 32,
        hashing_dim: int = 32,
        num_discretization_bins: int = 32,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if not isinstance(features, Mapping) or not features:
            raise ConfigError(
                "A FeatureSpace needs `features`",
                expected="a dict from names to kinds, such as {'age': 'float'}",
                received=repr(features),
            )
        check_choice("FeatureSpace", "output_mode", output_mode, ("concat", "dict"))
        self.output_mode, self.crossing_dim, self.hashing_dim = (
            output_mode, crossing_dim, hashing_dim,
        )  # fmt: skip
        self.num_discretization_bins = num_discretization_bins
        make = partial(
            kinds.standard_feature, hashing_dim=hashing_dim, bins=num_discretization_bins
        )
        self.features = {
            key: item if isinstance(item, Feature) else make(item, key)
            for key, item in features.items()
        }
        self.crosses = [
            item if isinstance(item, Cross) else Cross(item, crossing_dim) for item in crosses or ()
        ]
        for cross in self.crosses:
            for feature in cross.feature_names:
                check_choice("FeatureSpace", "crosses", feature, tuple(self.features))
        given = recorded_arguments(self) | {"features": self.features, "crosses": self.crosses}
        self._kgraph.arguments = (), given  # a config tells what the layers have learned
        self.preprocessors = {key: item.preprocessor for key, item in self.features.items()}
        self.crossers = {
            cross.name: layers.HashedCrossing(cross.crossing_dim, name=cross.name)
            for cross in self.crosses
        }
        for layer in self.preprocessors.values():
            if isinstance(layer, layers.Normalization):
                layer.build((None, 1))  # a file has its weights

    def adapt(self, dataset: Any) -> None:
        """Teaches the layers that learn: vocabularies, bins, mean and variance.

        Args:
            dataset: a dict of columns, or a dataset of them (in batches or not), which is read
                once for each feature that learns.
        """
        for name, layer in self.preprocessors.items():
            if learns(layer):
                layer.adapt(partial(self._columns, name, dataset))  # type: ignore[attr-defined]
        vars(self).pop("encoded_features", None)

    def _columns(self, name: str, dataset: Any) -> Iterator[np.ndarray]:
        """Yields a column of a dataset, batch by batch, as `[batch, 1]`."""
        whole = [dataset] if isinstance(dataset, Mapping) else items(label_of(self), dataset, None)
        for item in whole:
            if not isinstance(item, Mapping) or name not in item:
                raise DataError(
                    f"{label_of(self)} adapts to dicts of columns", expected=f"one for {name!r}",
                    received=list(item) if isinstance(item, Mapping) else type(item).__name__,
                )  # fmt: skip
            yield _as_column(item[name])

    # --- calling ---------------------------------------------------------------------------------

    def __call__(self, data: Mapping[str, Any]) -> Encoded:
        """Returns the rows of columns as vectors."""
        self._check_names(data)
        if has_tensors((data,), {}):
            return call_on_tensors(self, (dict(data),), {})
        alone = any(np.ndim(column) == 0 for column in data.values())
        encoded = self._merged(self._encoded({k: _as_column(v) for k, v in data.items()}))
        return map_structure(lambda array: array[0], encoded) if alone else encoded

    def _check_names(self, data: Any) -> None:
        if not isinstance(data, Mapping) or set(data) != set(self.features):
            raise DataError(
                f"{label_of(self)} is called on a dict of its columns",
                expected=sorted(self.features),
                received=sorted(data) if isinstance(data, Mapping) else type(data).__name__,
            )

    def _encoded(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what becomes of each column, and of those that are crossed."""
        ready = {name: self.preprocessors[name](column) for name, column in columns.items()}
        found = {
            name: _as_mode(name, ready[name], self.preprocessors[name], self.features[name])
            for name in sorted(columns)
        }
        for cross in sorted(self.crosses, key=lambda cross: cross.name):
            if set(cross.feature_names) <= set(columns):
                crosser = self.crossers[cross.name]
                bins = crosser([ready[name] for name in cross.feature_names])
                found[cross.name] = _as_mode(cross.name, bins, crosser, cross)
        return found

    def _merged(self, encoded: Mapping[str, Any]) -> Encoded:
        if self.output_mode == "dict":
            return dict(encoded)
        whole = [name for name, item in encoded.items() if "float" not in str(item.dtype)]
        if whole:
            raise ConfigError(
                f"{label_of(self)} cannot make one vector of features that are no vectors",
                received=", ".join(whole),
                hint='output_mode="one_hot" of these, or output_mode="dict" of the space',
            )
        parts = list(encoded.values())
        return layers.Concatenate()(parts) if len(parts) > 1 else parts[0]

    # --- models ----------------------------------------------------------------------------------

    def get_inputs(self) -> dict[str, Any]:
        """Returns the Input of each feature, for a model that prepares its data itself.

        Raises:
            GraphError: there is text, which no device can hold.
        """
        texts = [name for name, item in self.features.items() if item.dtype == TEXT]
        if texts:
            raise GraphError(
                f"{label_of(self)} has features of text, which no model can take",
                received=", ".join(texts),
                hint=["Model(space.get_encoded_features(), outputs) takes what the space makes:",
                      "model.fit(space(columns), y), model.predict(space(columns))"],
            )  # fmt: skip
        return self._symbols()[0]

    def get_encoded_features(self) -> Encoded:
        """Returns symbolic tensors of what a call makes: the inputs of a model.

        What comes of text is an Input of its own; all else follows from `get_inputs`.
        """
        return self._symbols()[1]

    def _symbols(self) -> tuple[dict[str, Any], Encoded]:
        """Returns inputs and what is made of them, the same ones each time."""
        if "encoded_features" not in vars(self):
            inputs = {
                name: Input((1,), dtype=item.dtype, name=name)
                for name, item in self.features.items()
                if item.dtype != TEXT
            }
            samples = {
                name: np.full((1, 1), "") if item.dtype == TEXT else np.zeros((1, 1), item.dtype)
                for name, item in self.features.items()
            }
            made, sample = self._encoded(inputs), self._encoded(samples)
            parts = {
                name: made[name] if name in made
                else Input(array.shape[1:], dtype=str(array.dtype), name=name)
                for name, array in sample.items()
            }  # fmt: skip
            self.inputs, self.encoded_features = inputs, self._merged(parts)
        return self.inputs, self.encoded_features

    # --- files -----------------------------------------------------------------------------------

    def get_build_config(self) -> dict[str, Any]:
        """Returns the shapes for which Keras makes the weights that its file has."""
        weighted = (name for name, layer in self.preprocessors.items() if layer.weights)
        return {name: {"input_shape": [None, 1]} for name in weighted}

    def save(self, filepath: FilePath) -> None:
        """Writes the space as a `.keras` file, which `load_model` reads, here and in Keras."""
        save_keras_layer(self, Path(os.fspath(filepath)))


def _as_column(values: Any) -> np.ndarray:
    """Returns values as an array with a batch axis and another one."""
    array = np.asarray(values)
    if array.dtype == object:
        array = np.asarray(
            [item.decode() if isinstance(item, bytes) else item for item in array.ravel().tolist()]
        ).reshape(array.shape)
    return array.reshape(-1, 1) if array.ndim < 2 else array


def _as_mode(name: str, values: Any, layer: Layer, told: Feature | Cross) -> Any:
    """Returns what a layer made of a feature in the output mode."""
    if told.output_mode != "one_hot":
        return values
    if "int" not in str(values.dtype):
        raise ConfigError(
            f"The feature {name!r} cannot be made one-hot", expected="a layer that gives integers",
            received=f"{label_of(layer)} gives {values.dtype}",
        )  # fmt: skip
    return layers.CategoryEncoding(categories(name, layer), "multi_hot")(values)
