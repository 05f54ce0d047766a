"""Models as estimators of scikit-learn, which is imported with the first of these names."""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.wrappers.estimators import SKLearnClassifier as SKLearnClassifier
    from kgraph.wrappers.estimators import SKLearnRegressor as SKLearnRegressor
    from kgraph.wrappers.estimators import SKLearnTransformer as SKLearnTransformer
else:
    __getattr__, __dir__ = lazy_names(__name__)
