"""Functions of arrays where Keras' are other than JAX's, or JAX has none: loaded when asked for."""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    __all__: list[str]
    from kgraph.activations import glu as glu
    from kgraph.activations import hard_shrink as hard_shrink
    from kgraph.activations import leaky_relu as leaky_relu
    from kgraph.activations import soft_shrink as soft_shrink
    from kgraph.activations import sparsemax as sparsemax
    from kgraph.activations import tanh_shrink as tanh_shrink
    from kgraph.activations import threshold as threshold
    from kgraph.ops.functions.basics import *
    from kgraph.ops.functions.counting import *
    from kgraph.ops.functions.entropies import *
    from kgraph.ops.functions.flow import *
    from kgraph.ops.functions.frames import *
    from kgraph.ops.functions.matrices import *
    from kgraph.ops.functions.moved_pixels import *
    from kgraph.ops.functions.normalizing import *
    from kgraph.ops.functions.numeric import *
    from kgraph.ops.functions.patches import *
    from kgraph.ops.functions.pixel_values import *
    from kgraph.ops.functions.rearranging import *
    from kgraph.ops.functions.sequences import *
    from kgraph.ops.functions.spectra import *
    from kgraph.ops.functions.updates import *
    from kgraph.ops.functions.windows import *
else:
    __getattr__, __dir__ = lazy_names(__name__)
