"""Optimizers with the numbers of Keras 3, and any optax transformation as one."""

from __future__ import annotations

from kgraph.optimizers import schedules
from kgraph.optimizers.adadelta import Adadelta
from kgraph.optimizers.adafactor import Adafactor
from kgraph.optimizers.adagrad import Adagrad
from kgraph.optimizers.adam import Adam
from kgraph.optimizers.adamax import Adamax
from kgraph.optimizers.adamw import AdamW
from kgraph.optimizers.ftrl import Ftrl
from kgraph.optimizers.lamb import Lamb
from kgraph.optimizers.lion import Lion
from kgraph.optimizers.lookup import deserialize, get, serialize
from kgraph.optimizers.loss_scale import LossScaleOptimizer, LossScaleState
from kgraph.optimizers.multi import MultiOptimizer, MultiState
from kgraph.optimizers.muon import Muon
from kgraph.optimizers.nadam import Nadam
from kgraph.optimizers.optax_optimizer import OptaxOptimizer
from kgraph.optimizers.optimizer import Optimizer
from kgraph.optimizers.optimizer_map import OptimizerMap, Parameter
from kgraph.optimizers.rmsprop import RMSprop
from kgraph.optimizers.schedule_free_adamw import ScheduleFreeAdamW
from kgraph.optimizers.sgd import SGD
from kgraph.optimizers.state import OptimizerState

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "LossScaleState",
    "MultiOptimizer",
    "MultiState",
    "Muon",
    "Nadam",
    "OptaxOptimizer",
    "Optimizer",
    "OptimizerMap",
    "OptimizerState",
    "Parameter",
    "RMSprop",
    "ScheduleFreeAdamW",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]
