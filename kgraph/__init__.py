"""kgraph: the Keras functional API as a graph front end that compiles to one JAX function.

>>> import kgraph as keras
>>> inputs = keras.Input((784,))
>>> outputs = keras.layers.Dense(10)(keras.layers.Dense(64, activation="relu")(inputs))
>>> model = keras.Model(inputs, outputs)  # a graph; no array exists yet
>>> program = keras.lower(model)  # pure init and apply, for jit, grad, vmap, ...
"""

from kgraph import (
    activations,
    applications,
    backend,
    callbacks,
    compiler,
    config,
    constraints,
    data,
    datasets,
    errors,
    export,
    initializers,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    regularizers,
    saving,
    utils,
    visualization,
)
from kgraph.compiler import Program, lower
from kgraph.config import DTypePolicy
from kgraph.graph import Graph, SymbolicTensor
from kgraph.initializers import Initializer
from kgraph.layers import Input, InputSpec, Layer
from kgraph.losses import Loss
from kgraph.metrics import Metric
from kgraph.models import Model, Sequential
from kgraph.optimizers import Optimizer
from kgraph.regularizers import Regularizer
from kgraph.saving.checkpoints import Checkpoint
from kgraph.version import __version__

KerasTensor = SymbolicTensor

__all__ = [
    "Checkpoint", "DTypePolicy", "Graph", "Initializer", "Input", "InputSpec", "KerasTensor",
    "Layer", "Loss", "Metric", "Model", "Optimizer", "Program", "Regularizer", "Sequential",
    "SymbolicTensor", "__version__", "activations", "applications", "backend", "callbacks",
    "compiler", "config", "constraints", "data", "datasets", "errors", "export", "initializers",
    "layers", "losses", "lower", "metrics", "models", "ops", "optimizers", "regularizers", "saving",
    "utils", "visualization",
]  # fmt: skip
