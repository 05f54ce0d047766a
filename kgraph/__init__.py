"""kgraph: the Keras functional API as a graph front end that compiles to one JAX function.

>>> import kgraph as keras
>>> inputs = keras.Input((784,))
>>> outputs = keras.layers.Dense(10)(keras.layers.Dense(64, activation="relu")(inputs))
>>> model = keras.Model(inputs, outputs)  # a graph; no array exists yet
>>> program = keras.lower(model)  # pure init and apply, for jit, grad, vmap, ...
"""

from typing import TYPE_CHECKING

from kgraph import (
    activations,
    compiler,
    config,
    constraints,
    data,
    errors,
    initializers,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    regularizers,
    saving,
)
from kgraph.compiler import Program, lower
from kgraph.config import DTypePolicy
from kgraph.graph import Graph, SymbolicTensor, Traits
from kgraph.initializers import Initializer
from kgraph.layers.base import Input, InputSpec, Layer, StatelessScope, Variable
from kgraph.lazy import lazy_names
from kgraph.losses import Loss
from kgraph.metrics import Metric
from kgraph.models import Model, Sequential
from kgraph.optimizers import Optimizer
from kgraph.regularizers import Regularizer
from kgraph.version import __version__

if TYPE_CHECKING:
    from kgraph import applications as applications
    from kgraph import backend as backend
    from kgraph import callbacks as callbacks
    from kgraph import datasets as datasets
    from kgraph import distribution as distribution
    from kgraph import dtype_policies as dtype_policies
    from kgraph import export as export
    from kgraph import forecast as forecast
    from kgraph import mixed_precision as mixed_precision
    from kgraph import preprocessing as preprocessing
    from kgraph import random as random
    from kgraph import tree as tree
    from kgraph import utils as utils
    from kgraph import visualization as visualization
    from kgraph import wrappers as wrappers
    from kgraph.saving.checkpoints import Checkpoint as Checkpoint
else:
    __getattr__, __dir__ = lazy_names(__name__)

FloatDTypePolicy = DTypePolicy
KerasTensor = SymbolicTensor

__all__ = [
    "Checkpoint", "DTypePolicy", "FloatDTypePolicy", "Graph", "Initializer", "Input", "InputSpec",
    "KerasTensor", "Layer", "Loss", "Metric", "Model", "Optimizer", "Program", "Regularizer",
    "Sequential", "StatelessScope", "SymbolicTensor", "Traits", "Variable", "__version__",
    "activations", "applications", "backend", "callbacks", "compiler", "config", "constraints",
    "data", "datasets", "distribution", "dtype_policies", "errors", "export", "forecast",
    "initializers",
    "layers", "losses", "lower", "metrics", "mixed_precision", "models", "ops", "optimizers",
    "preprocessing", "random", "regularizers", "saving", "tree", "utils", "visualization",
    "wrappers",
]  # fmt: skip
