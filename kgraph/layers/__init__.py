"""The layers."""

from kgraph.layers.activation import *
from kgraph.layers.attention import *
from kgraph.layers.base import Input, InputLayer, InputSpec, Layer
from kgraph.layers.convolution import *
from kgraph.layers.core import *
from kgraph.layers.interop import *
from kgraph.layers.merging import *
from kgraph.layers.normalization import *
from kgraph.layers.pooling import *
from kgraph.layers.recurrent import *
from kgraph.layers.regularization import *
from kgraph.layers.reshaping import *
