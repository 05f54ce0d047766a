"""Optimizers with the numbers of Keras 3, and any optax transformation as one."""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.optimizers import schedules as schedules
    from kgraph.optimizers.adadelta import Adadelta as Adadelta
    from kgraph.optimizers.adafactor import Adafactor as Adafactor
    from kgraph.optimizers.adagrad import Adagrad as Adagrad
    from kgraph.optimizers.adam import Adam as Adam
    from kgraph.optimizers.adamax import Adamax as Adamax
    from kgraph.optimizers.adamw import AdamW as AdamW
    from kgraph.optimizers.ftrl import Ftrl as Ftrl
    from kgraph.optimizers.lamb import Lamb as Lamb
    from kgraph.optimizers.lion import Lion as Lion
    from kgraph.optimizers.lookup import deserialize as deserialize
    from kgraph.optimizers.lookup import get as get
    from kgraph.optimizers.lookup import serialize as serialize
    from kgraph.optimizers.loss_scale import LossScaleOptimizer as LossScaleOptimizer
    from kgraph.optimizers.loss_scale import LossScaleState as LossScaleState
    from kgraph.optimizers.multi import MultiOptimizer as MultiOptimizer
    from kgraph.optimizers.multi import MultiState as MultiState
    from kgraph.optimizers.muon import Muon as Muon
    from kgraph.optimizers.nadam import Nadam as Nadam
    from kgraph.optimizers.optax_optimizer import OptaxOptimizer as OptaxOptimizer
    from kgraph.optimizers.optimizer import Optimizer as Optimizer
    from kgraph.optimizers.optimizer_map import OptimizerMap as OptimizerMap
    from kgraph.optimizers.optimizer_map import Parameter as Parameter
    from kgraph.optimizers.rmsprop import RMSprop as RMSprop
    from kgraph.optimizers.schedule_free_adamw import ScheduleFreeAdamW as ScheduleFreeAdamW
    from kgraph.optimizers.sgd import SGD as SGD
    from kgraph.optimizers.state import OptimizerState as OptimizerState
else:
    __getattr__, __dir__ = lazy_names(__name__, kinds=("optimizer", "optimizer_map", "schedule"))
