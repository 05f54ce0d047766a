"""What the estimators have in common: a model inside, made anew for each fit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sklearn
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from kgraph.errors import ConfigError, DataError, StateError
from kgraph.models import Model
from kgraph.types import AnyArray, ArrayLike


class ModelEstimator(BaseEstimator):
    """An estimator that trains a model.

    Args:
        model: a compiled model, of which each fit trains a copy; or a function of `X`, `y` and
            `model_kwargs` that returns one.
        warm_start: whether a further fit goes on with the weights of the last one, and trains a
            given model itself.
        model_kwargs: further arguments of the function.
        fit_kwargs: arguments of `model.fit`; those given to `fit` go first.

    Attributes:
        model_: the trained model.
        history_: what `model.fit` returned.
    """

    model_: Model

    def __init__(
        self,
        model: Model | Callable[..., Model],
        warm_start: bool = False,
        model_kwargs: Mapping[str, object] | None = None,
        fit_kwargs: Mapping[str, object] | None = None,
    ) -> None:
        self.model = model
        self.warm_start = warm_start
        self.model_kwargs = model_kwargs
        self.fit_kwargs = fit_kwargs

    @property
    def epoch_(self) -> int:
        """How many epochs the last fit trained."""
        history = getattr(self, "history_", None)
        return 0 if history is None else len(history.epoch)

    def fit(self, X: Any, y: Any, **kwargs: Any) -> Any:
        """Trains the model.

        Args:
            X: `[samples, features]`.
            y: `[samples]`.
            **kwargs: for `model.fit`.

        Raises:
            StateError: the model is not compiled.
            DataError: (a ValueError) the data are not what the estimator is for.
        """
        X, y = validate_data(self, X, y)
        targets = self._encoded(y)
        model = self._model_for(X, targets)
        if not model.compiled:
            raise StateError(
                f"{type(self).__name__} needs a compiled model",
                hint="model.compile(optimizer, loss) in the function, or before",
            )
        self.history_ = model.fit(X, targets, **{**(self.fit_kwargs or {}), **kwargs})
        self.model_ = model
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Returns a prediction for each row."""
        return self._decoded(self._outputs(X))

    def set_fit_request(self, **kwargs: Any) -> Any:
        """Says which arguments of `fit` a pipeline passes on: name to True, False, None or alias.

        Raises:
            ConfigError: metadata routing is not switched on in scikit-learn.
        """
        if not sklearn.get_config()["enable_metadata_routing"]:
            raise ConfigError(
                "scikit-learn does not route metadata",
                hint="sklearn.set_config(enable_metadata_routing=True)",
            )
        self._metadata_request = MetadataRequest(owner=self)
        for name, alias in kwargs.items():
            self._metadata_request.fit.add_request(param=name, alias=alias)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = True
        return tags

    def __sklearn_clone__(self) -> Any:
        parameters = self.get_params(deep=False)
        if isinstance(self.model, Model):
            parameters["model"] = copy.deepcopy(self.model)
        return type(self)(**parameters)

    def _model_for(self, X: ArrayLike, y: AnyArray) -> Model:
        if self.warm_start and hasattr(self, "model_"):
            return self.model_
        if isinstance(self.model, Model):
            return self.model if self.warm_start else copy.deepcopy(self.model)
        return self.model(X=X, y=y, **(self.model_kwargs or {}))

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "model_")
        X = validate_data(self, X, reset=False)
        return np.asarray(self.model_.predict(X, verbose=0))

    def _encoded(self, y: AnyArray) -> AnyArray:
        """Returns targets as the model wants them: one column here."""
        if type_of_target(y) == "unknown":
            raise DataError("Unknown label type", received=repr(y)[:200])
        return y.reshape(-1, 1)

    def _decoded(self, outputs: np.ndarray) -> np.ndarray:
        return outputs[:, 0] if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs
