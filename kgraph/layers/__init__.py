"""The layers, under one name space as in Keras."""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    __all__: list[str]
    from kgraph.layers.activation import *
    from kgraph.layers.attention import *
    from kgraph.layers.base import Input as Input
    from kgraph.layers.base import InputLayer as InputLayer
    from kgraph.layers.base import InputSpec as InputSpec
    from kgraph.layers.base import Layer as Layer
    from kgraph.layers.convolution import *
    from kgraph.layers.core import *
    from kgraph.layers.image import *
    from kgraph.layers.interop import *
    from kgraph.layers.lookup import deserialize as deserialize
    from kgraph.layers.lookup import serialize as serialize
    from kgraph.layers.merging import *
    from kgraph.layers.networks import *
    from kgraph.layers.normalization import *
    from kgraph.layers.pooling import *
    from kgraph.layers.preprocessing import *
    from kgraph.layers.recurrent import *
    from kgraph.layers.regularization import *
    from kgraph.layers.reshaping import *
    from kgraph.layers.text import *
else:
    __getattr__, __dir__ = lazy_names(__name__, kinds=("layer", "initializer"))
