"""FeatureSpace: tables of numbers and text as vectors."""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.utils.features.feature import Cross as Cross
    from kgraph.utils.features.feature import Feature as Feature
    from kgraph.utils.features.feature import FeatureIdentity as FeatureIdentity
    from kgraph.utils.features.feature_space import FeatureSpace as FeatureSpace
else:
    __getattr__, __dir__ = lazy_names(__name__, kinds=("layer", "feature"))
