"""Models as estimators of scikit-learn, and as modules of flax.nnx.

What a name stands on is imported with it.
"""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.wrappers.estimators import SKLearnClassifier as SKLearnClassifier
    from kgraph.wrappers.estimators import SKLearnRegressor as SKLearnRegressor
    from kgraph.wrappers.estimators import SKLearnTransformer as SKLearnTransformer
    from kgraph.wrappers.nnx_model import NNXModel as NNXModel
else:
    __getattr__, __dir__ = lazy_names(__name__)
