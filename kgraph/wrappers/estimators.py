"""The three kinds of estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils.multiclass import type_of_target

from kgraph.errors import DataError
from kgraph.types import AnyArray, ArrayLike
from kgraph.wrappers.base import ModelEstimator


class SKLearnClassifier(ClassifierMixin, ModelEstimator):
    """A model as a classifier of scikit-learn.

    The model has one output for each class (softmax and `"categorical_crossentropy"`, say); it is
    given one-hot rows.

    Args:
        model: a compiled model, of which each fit trains a copy; or a function of `X`, one-hot `y`
            and `model_kwargs` that returns one.
        warm_start: whether a further fit goes on with the weights of the last one.
        model_kwargs: further arguments of the function.
        fit_kwargs: arguments of `model.fit`.

    Attributes:
        model_, history_: the trained model, and what its `fit` returned.
        classes_: the classes, in the order of the outputs.
    """

    classes_: np.ndarray

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Returns the model's outputs, `[samples, classes]`."""
        return self._outputs(X)

    def _encoded(self, y: AnyArray) -> AnyArray:
        kind = type_of_target(y, raise_unknown=True)
        if kind not in ("binary", "multiclass"):
            raise DataError(
                "Only binary and multiclass targets can be classified",
                received=f"Unknown label type: {kind}",
            )
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) == 1:
            raise DataError("Classifier can't train when only one class is present")
        return np.eye(len(self.classes_))[numbers]

    def _decoded(self, outputs: np.ndarray) -> np.ndarray:
        if outputs.shape[1:] != self.classes_.shape:
            raise DataError(
                "The model needs one output for each class",
                expected=f"{len(self.classes_)} classes",
                received=f"outputs of shape {outputs.shape}",
            )
        return self.classes_[outputs.argmax(1)]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags


class SKLearnRegressor(RegressorMixin, ModelEstimator):
    """A model as a regressor of scikit-learn.

    Args:
        model: a compiled model, of which each fit trains a copy; or a function of `X`, `y` (one
            column) and `model_kwargs` that returns one.
        warm_start: whether a further fit goes on with the weights of the last one.
        model_kwargs: further arguments of the function.
        fit_kwargs: arguments of `model.fit`.

    Attributes:
        model_, history_: the trained model, and what its `fit` returned.
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags


class SKLearnTransformer(TransformerMixin, ModelEstimator):
    """A model as a transformer of scikit-learn: its outputs are the features of the next step.

    Args:
        model: a compiled model, of which each fit trains a copy; or a function of `X`, `y` (one
            column) and `model_kwargs` that returns one.
        warm_start: whether a further fit goes on with the weights of the last one.
        model_kwargs: further arguments of the function.
        fit_kwargs: arguments of `model.fit`.

    Attributes:
        model_, history_: the trained model, and what its `fit` returned.
    """

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Returns the model's outputs."""
        return self._outputs(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
