"""What a FeatureSpace is told of each feature, and of features that are crossed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kgraph import layers
from kgraph.checks import check_count
from kgraph.errors import ConfigError, check_choice
from kgraph.layers import Layer
from kgraph.layers.core import Identity
from kgraph.registry import Recorded

TEXT = "string"
"""The dtype of features that stay on the host."""


class FeatureIdentity(Identity):
    """Leaves a feature of a FeatureSpace as it is. Keras has a class of its own for it."""


class Feature(Recorded):
    """A feature: its values, the layer that prepares them, and what becomes of the result.

    Args:
        dtype: of the values: a dtype, or "string".
        preprocessor: the layer.
        output_mode: "float" and "int" leave the result alone; "one_hot" makes vectors of integers.
    """

    _kgraph_kind = "feature"

    def __init__(self, dtype: str, preprocessor: Layer, output_mode: str) -> None:
        check_choice("Feature", "output_mode", output_mode, ("int", "one_hot", "float"))
        if not isinstance(preprocessor, Layer):
            raise ConfigError(
                "A feature is prepared by a layer", expected="a preprocessing layer",
                received=repr(preprocessor),
            )  # fmt: skip
        self.dtype, self.preprocessor, self.output_mode = dtype, preprocessor, output_mode


class Cross(Recorded):
    """Features that are crossed: each combination of their values falls into a bin.

    Args:
        feature_names: of two or more features.
        crossing_dim: number of bins.
        output_mode: "int" for the number of the bin, "one_hot" for a vector.
    """

    _kgraph_kind = "feature"

    def __init__(
        self, feature_names: Sequence[str], crossing_dim: int, output_mode: str = "one_hot"
    ) -> None:
        check_choice("Cross", "output_mode", output_mode, ("int", "one_hot"))
        self.feature_names, self.output_mode = tuple(feature_names), output_mode
        self.crossing_dim = check_count("Cross", "crossing_dim", crossing_dim)

    @property
    def name(self) -> str:
        """The names of the features, joined by `_X_`."""
        return "_X_".join(self.feature_names)


def standard_feature(kind: str, name: str, hashing_dim: int, bins: int) -> Feature:
    """Returns the feature that a word such as "float_normalized" stands for.

    Raises:
        ConfigError: there is no such word.
    """
    check_choice("FeatureSpace", f"features[{name!r}]", kind, tuple(_KINDS))
    options = {"integer_hashed": hashing_dim, "string_hashed": hashing_dim}
    given = {**options, "float_discretized": bins}.get(kind)
    return _KINDS[kind](**({} if given is None else {"num_bins": given}), name=name)


def _layer_name(name: str | None) -> str | None:
    return None if name is None else f"{name}_preprocessor"


def plain(name: str | None = None) -> Feature:
    """Returns a feature of numbers that stay as they are."""
    return Feature("float32", FeatureIdentity(name=_layer_name(name)), "float")


def rescaled(scale: float = 1.0, offset: float = 0.0, name: str | None = None) -> Feature:
    """Returns a feature of numbers that are multiplied and moved."""
    return Feature("float32", layers.Rescaling(scale, offset, name=_layer_name(name)), "float")


def normalized(name: str | None = None) -> Feature:
    """Returns a feature of numbers that get the mean 0 and the variance 1."""
    return Feature("float32", layers.Normalization(-1, name=_layer_name(name)), "float")


def discretized(
    num_bins: int,
    bin_boundaries: Sequence[float] | None = None,
    output_mode: str = "one_hot",
    name: str | None = None,
) -> Feature:
    """Returns a feature of numbers that fall into bins, given or learned."""
    bins = num_bins if bin_boundaries is None else None
    layer = layers.Discretization(bin_boundaries, bins, name=_layer_name(name))
    return Feature("float32", layer, output_mode)


def integer_categories(
    max_tokens: int | None = None,
    num_oov_indices: int = 1,
    output_mode: str = "one_hot",
    name: str | None = None,
) -> Feature:
    """Returns a feature of integers that are numbers of categories."""
    layer = layers.IntegerLookup(max_tokens, num_oov_indices, name=_layer_name(name))
    return Feature("int32", layer, output_mode)


def text_categories(
    max_tokens: int | None = None,
    num_oov_indices: int = 1,
    output_mode: str = "one_hot",
    name: str | None = None,
) -> Feature:
    """Returns a feature of texts that are names of categories."""
    layer = layers.StringLookup(max_tokens, num_oov_indices, name=_layer_name(name))
    return Feature(TEXT, layer, output_mode)


def hashed_integers(
    num_bins: int, output_mode: str = "one_hot", name: str | None = None
) -> Feature:
    """Returns a feature of integers that fall into bins by a hash."""
    return Feature("int32", layers.Hashing(num_bins, name=_layer_name(name)), output_mode)


def hashed_texts(num_bins: int, output_mode: str = "one_hot", name: str | None = None) -> Feature:
    """Returns a feature of texts that fall into bins by a hash."""
    return Feature(TEXT, layers.Hashing(num_bins, name=_layer_name(name)), output_mode)


_KINDS: dict[str, Callable[..., Feature]] = {
    "float": plain, "float_normalized": normalized, "float_rescaled": rescaled,
    "float_discretized": discretized, "integer_categorical": integer_categories,
    "string_categorical": text_categories, "integer_hashed": hashed_integers,
    "string_hashed": hashed_texts,
}  # fmt: skip


def learns(layer: Any) -> bool:
    """Tells whether `adapt` teaches a layer something: it was not given what it would learn."""
    if isinstance(layer, layers.Normalization):
        return layer.given is None
    if isinstance(layer, layers.Discretization):
        return layer.num_bins is not None
    if isinstance(layer, layers.TextVectorization):
        return layer.get_config()["vocabulary"] is None
    return hasattr(layer, "adapt")


def categories(name: str, layer: Any) -> int:
    """Returns how many numbers a layer of a feature can give, for one-hot vectors.

    Raises:
        ConfigError: nobody knows.
    """
    if isinstance(layer, (layers.IntegerLookup, layers.StringLookup)):
        return layer.vocabulary_size()
    if isinstance(layer, layers.Discretization):
        return len(layer.bin_boundaries or ()) + 1
    if isinstance(layer, (layers.Hashing, layers.HashedCrossing)):
        return layer.num_bins
    raise ConfigError(
        f"The feature {name!r} cannot be made one-hot: nobody knows how many categories it has",
        received=repr(layer),
        hint='output_mode="int" or "float" leaves what its layer gives',
    )
