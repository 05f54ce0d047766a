"""Learning rate schedules: the rate as a function of the number of updates made."""

from __future__ import annotations

from kgraph.optimizers.schedules.cosine_decay import CosineDecay
from kgraph.optimizers.schedules.cosine_decay_restarts import CosineDecayRestarts
from kgraph.optimizers.schedules.exponential_decay import ExponentialDecay
from kgraph.optimizers.schedules.inverse_time_decay import InverseTimeDecay
from kgraph.optimizers.schedules.lookup import deserialize, get, serialize
from kgraph.optimizers.schedules.piecewise_constant_decay import PiecewiseConstantDecay
from kgraph.optimizers.schedules.polynomial_decay import PolynomialDecay
from kgraph.optimizers.schedules.schedule import LearningRateSchedule

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "get",
    "serialize",
]
