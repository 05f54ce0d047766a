"""Losses by name: Keras' strings, configs, and the rule behind `"crossentropy"`."""

from __future__ import annotations

from typing import Any

from kgraph import registry
from kgraph.custom_objects import custom_object_scope
from kgraph.losses.base import Loss, LossFunctionWrapper
from kgraph.losses.binary import BinaryCrossentropy, binary_crossentropy
from kgraph.losses.circle import Circle, circle
from kgraph.losses.crossentropy import (
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
)
from kgraph.losses.ctc import CTC, ctc
from kgraph.losses.divergence import KLDivergence, Poisson, kl_divergence, poisson
from kgraph.losses.focal import (
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    binary_focal_crossentropy,
    categorical_focal_crossentropy,
)
from kgraph.losses.generalized import (
    CategoricalGeneralizedCrossEntropy,
    categorical_generalized_cross_entropy,
)
from kgraph.losses.hinge import (
    CategoricalHinge,
    Hinge,
    SquaredHinge,
    categorical_hinge,
    hinge,
    squared_hinge,
)
from kgraph.losses.overlap import Dice, Tversky, dice, tversky
from kgraph.losses.regression import (
    CosineSimilarity,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    cosine_similarity,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)
from kgraph.types import CustomObjects, LossLike, Shape

_CLASSES: dict[Any, type[Loss]] = {
    binary_crossentropy: BinaryCrossentropy,
    binary_focal_crossentropy: BinaryFocalCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    categorical_focal_crossentropy: CategoricalFocalCrossentropy,
    categorical_generalized_cross_entropy: CategoricalGeneralizedCrossEntropy,
    categorical_hinge: CategoricalHinge,
    circle: Circle,
    cosine_similarity: CosineSimilarity,
    ctc: CTC,
    dice: Dice,
    hinge: Hinge,
    huber: Huber,
    kl_divergence: KLDivergence,
    log_cosh: LogCosh,
    mean_absolute_error: MeanAbsoluteError,
    mean_absolute_percentage_error: MeanAbsolutePercentageError,
    mean_squared_error: MeanSquaredError,
    mean_squared_logarithmic_error: MeanSquaredLogarithmicError,
    poisson: Poisson,
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
    squared_hinge: SquaredHinge,
    tversky: Tversky,
}
_ALIASES = {
    "bce": binary_crossentropy,
    "kld": kl_divergence,
    "kullback_leibler_divergence": kl_divergence,
    "logcosh": log_cosh,
    "mae": mean_absolute_error,
    "mape": mean_absolute_percentage_error,
    "mse": mean_squared_error,
    "msle": mean_squared_logarithmic_error,
}

for _function in _CLASSES:
    registry.register("loss", _function.__name__, _function)
for _alias, _function in _ALIASES.items():
    registry.register("loss", _alias, _function)
    if len(_alias) <= 4:
        registry.register("loss", _alias.upper(), _function)


def get(identifier: LossLike | None) -> Any:
    """Returns the loss that a name, a config, a class or an object stands for (None for None).

    As in Keras, a name in snake case gives the function, and a class name gives an object.
    """
    return registry.resolve("loss", identifier)


def serialize(loss: object) -> Any:
    """Returns a loss as plain data."""
    return registry.describe(loss)


def deserialize(name: Any, custom_objects: CustomObjects | None = None) -> Any:
    """Returns the loss that `serialize` (or a name) describes."""
    with custom_object_scope(custom_objects):
        return get(name)


def is_binary_or_sparse(y_true_shape: Shape, y_pred_shape: Shape) -> tuple[bool, bool]:
    """Tells whether an output of this shape is binary, and its targets class numbers."""
    last_true = y_true_shape[-1] if y_true_shape else None
    last_pred = y_pred_shape[-1] if y_pred_shape else None
    several = last_pred is not None and last_pred > 1
    sparse = len(y_true_shape) < len(y_pred_shape) or (last_true == 1 and several)
    return last_pred == 1, sparse


def resolve(
    identifier: LossLike | None,
    y_true_shape: Shape | None = None,
    y_pred_shape: Shape | None = None,
) -> Loss | None:
    """Returns the `Loss` object for what a user gave to `compile`.

    `"crossentropy"` and `"ce"` are binary, sparse or categorical by the shapes (with batch axis).
    A function is wrapped; its name is the user's string, or its `__name__`.
    """
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        binary, sparse = is_binary_or_sparse(y_true_shape or (), y_pred_shape or ())
        chosen = sparse_categorical_crossentropy if sparse else categorical_crossentropy
        found: Any = binary_crossentropy if binary else chosen
    else:
        found = get(identifier)
    if found is None or isinstance(found, Loss):
        return found
    name = identifier if isinstance(identifier, str) else getattr(found, "__name__", None)
    # The class of a known function knows more than the function: its labels, its logits.
    known = next((cls for fn, cls in _CLASSES.items() if fn is found), None)
    return LossFunctionWrapper(found, name=name) if known is None else known(name=name)
