"""kgraph: the Keras functional API as a graph front end that compiles to one JAX function.

>>> import kgraph as keras
>>> inputs = keras.Input((784,))
>>> outputs = keras.layers.Dense(10)(keras.layers.Dense(64, activation="relu")(inputs))
>>> model = keras.Model(inputs, outputs)  # a graph; no array exists yet
>>> program = keras.lower(model)  # pure init and apply, for jit, grad, vmap, ...
"""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names
from kgraph.versions import __version__, version

if TYPE_CHECKING:
    from kgraph import activations as activations
    from kgraph import applications as applications
    from kgraph import backend as backend
    from kgraph import callbacks as callbacks
    from kgraph import compiler as compiler
    from kgraph import config as config
    from kgraph import constraints as constraints
    from kgraph import data as data
    from kgraph import datasets as datasets
    from kgraph import distribution as distribution
    from kgraph import dtype_policies as dtype_policies
    from kgraph import errors as errors
    from kgraph import export as export
    from kgraph import forecast as forecast
    from kgraph import initializers as initializers
    from kgraph import layers as layers
    from kgraph import losses as losses
    from kgraph import metrics as metrics
    from kgraph import mixed_precision as mixed_precision
    from kgraph import models as models
    from kgraph import ops as ops
    from kgraph import optimizers as optimizers
    from kgraph import preprocessing as preprocessing
    from kgraph import random as random
    from kgraph import regularizers as regularizers
    from kgraph import saving as saving
    from kgraph import tree as tree
    from kgraph import utils as utils
    from kgraph import visualization as visualization
    from kgraph import wrappers as wrappers
    from kgraph.compiler import Program as Program
    from kgraph.compiler import lower as lower
    from kgraph.config import DTypePolicy as DTypePolicy
    from kgraph.dtype_policies import FloatDTypePolicy as FloatDTypePolicy
    from kgraph.graph import Graph as Graph
    from kgraph.graph import KerasTensor as KerasTensor
    from kgraph.graph import SymbolicTensor as SymbolicTensor
    from kgraph.graph import Traits as Traits
    from kgraph.initializers import Initializer as Initializer
    from kgraph.layers.base import Input as Input
    from kgraph.layers.base import InputSpec as InputSpec
    from kgraph.layers.base import Layer as Layer
    from kgraph.layers.base import Operation as Operation
    from kgraph.layers.base import RematScope as RematScope
    from kgraph.layers.base import StatelessScope as StatelessScope
    from kgraph.layers.base import Variable as Variable
    from kgraph.layers.base import device as device
    from kgraph.layers.base import name_scope as name_scope
    from kgraph.layers.base import remat as remat
    from kgraph.losses import Loss as Loss
    from kgraph.metrics import Metric as Metric
    from kgraph.models import Model as Model
    from kgraph.models import Sequential as Sequential
    from kgraph.models.model import Function as Function
    from kgraph.optimizers import Optimizer as Optimizer
    from kgraph.regularizers import Regularizer as Regularizer
    from kgraph.saving.checkpoints import Checkpoint as Checkpoint
else:
    __getattr__, __dir__ = lazy_names(__name__, kinds=("layer",))

__all__ = [
    "Checkpoint", "DTypePolicy", "FloatDTypePolicy", "Function", "Graph", "Initializer",
    "Input", "InputSpec", "KerasTensor", "Layer", "Loss", "Metric", "Model", "Operation",
    "Optimizer", "Program", "Regularizer", "RematScope", "Sequential", "StatelessScope",
    "SymbolicTensor", "Traits", "Variable", "__version__", "activations", "applications",
    "backend", "callbacks",
    "compiler", "config", "constraints", "data", "datasets", "device", "distribution",
    "dtype_policies", "errors", "export", "forecast", "initializers", "layers", "losses",
    "lower", "metrics", "mixed_precision", "models", "name_scope", "ops", "optimizers",
    "preprocessing", "random", "regularizers", "remat", "saving", "tree", "utils",
    "version", "visualization", "wrappers",
]  # fmt: skip
