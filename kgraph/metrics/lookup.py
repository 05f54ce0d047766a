"""Metrics by name: Keras' strings, configs, and the rule behind `"accuracy"`."""

from __future__ import annotations

from typing import Any

from kgraph import losses, registry
from kgraph.custom_objects import custom_object_scope
from kgraph.errors import ConfigError
from kgraph.losses.lookup import is_binary_or_sparse
from kgraph.metrics import accuracy as accuracies
from kgraph.metrics import correlation, probabilistic, regression
from kgraph.metrics.base import Metric
from kgraph.metrics.reduction import MeanMetricWrapper
from kgraph.types import Config, CustomObjects, MetricLike, Shape

_ALIASES = {
    "bce": probabilistic.BinaryCrossentropy,
    "kld": probabilistic.KLDivergence,
    "mae": regression.MeanAbsoluteError,
    "mape": regression.MeanAbsolutePercentageError,
    "mse": regression.MeanSquaredError,
    "msle": regression.MeanSquaredLogarithmicError,
    "rmse": regression.RootMeanSquaredError,
}
_FUNCTIONS = (
    accuracies.accuracy,
    accuracies.binary_accuracy,
    accuracies.categorical_accuracy,
    accuracies.sparse_categorical_accuracy,
    accuracies.sparse_top_k_categorical_accuracy,
    accuracies.top_k_categorical_accuracy,
    correlation.concordance_correlation,
    correlation.pearson_correlation,
    regression.cosine_similarity,
)

for _alias, _class in _ALIASES.items():
    registry.register("metric", _alias, _class)
    registry.register("metric", _alias.upper(), _class)
registry.register("metric", "logcosh", regression.LogCoshError)
for _function in _FUNCTIONS:  # a kind of their own: in "metric" these names are the classes
    registry.register("metric_function", _function.__name__, _function)


def get(identifier: MetricLike | None) -> Any:
    """Returns the metric that a name, a config, a class or an object stands for (None for None).

    A function stays a function; `resolve` wraps it.
    """
    return registry.resolve("metric", identifier)


def serialize(metric: object) -> Any:
    """Returns a metric as plain data."""
    return registry.describe(metric)


def deserialize(config: str | Config, custom_objects: CustomObjects | None = None) -> Any:
    """Returns the metric that `serialize` (or a name) describes."""
    with custom_object_scope(custom_objects):
        return get(config)


def resolve(
    identifier: MetricLike | None, y_true_shape: Shape, y_pred_shape: Shape, loss: object = None
) -> Metric:
    """Returns the `Metric` object for what a user gave to `compile`, with its state declared.

    `"accuracy"` (`"acc"`) and `"crossentropy"` (`"ce"`) are binary for outputs with a last size of
    1, sparse for class numbers, and else categorical. The user's string is the metric's name.

    Args:
        identifier: a string, a config, a class, an object or a function.
        y_true_shape: the shape of the targets, with the batch axis.
        y_pred_shape: the shape of the outputs, with the batch axis.
        loss: the output's loss; its `from_logits` decides that of `"crossentropy"`.

    Raises:
        ConfigError: if nothing is known by this name, or it is None.
    """
    if identifier is None:
        raise ConfigError("A metric cannot be None", hint="leave it out of the list")
    word = identifier.lower() if isinstance(identifier, str) else ""
    binary, sparse = is_binary_or_sparse(y_true_shape, y_pred_shape)
    form = "Binary" if binary else "SparseCategorical" if sparse else "Categorical"
    found: Any
    if word in ("accuracy", "acc"):
        found = getattr(accuracies, f"{form}Accuracy")(name=identifier)
    elif word in ("crossentropy", "ce"):
        from_logits = bool(getattr(loss, "from_logits", False))
        found = getattr(probabilistic, f"{form}Crossentropy")(
            name=identifier, from_logits=from_logits
        )
    else:
        found = get(identifier)
    if not isinstance(found, Metric):
        name = found.name if isinstance(found, losses.Loss) else None
        found = MeanMetricWrapper(found, name=name)
    if isinstance(identifier, str):
        found.name = identifier
    found._kgraph_ensure_built(y_true_shape, y_pred_shape)
    return found
