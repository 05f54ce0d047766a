"""Learning rate schedules: the rate as a function of the number of updates made."""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.optimizers.schedules.cosine_decay import CosineDecay as CosineDecay
    from kgraph.optimizers.schedules.cosine_decay_restarts import (
        CosineDecayRestarts as CosineDecayRestarts,
    )
    from kgraph.optimizers.schedules.exponential_decay import ExponentialDecay as ExponentialDecay
    from kgraph.optimizers.schedules.inverse_time_decay import InverseTimeDecay as InverseTimeDecay
    from kgraph.optimizers.schedules.lookup import deserialize as deserialize
    from kgraph.optimizers.schedules.lookup import get as get
    from kgraph.optimizers.schedules.lookup import serialize as serialize
    from kgraph.optimizers.schedules.piecewise_constant_decay import (
        PiecewiseConstantDecay as PiecewiseConstantDecay,
    )
    from kgraph.optimizers.schedules.polynomial_decay import PolynomialDecay as PolynomialDecay
    from kgraph.optimizers.schedules.schedule import LearningRateSchedule as LearningRateSchedule
else:
    __getattr__, __dir__ = lazy_names(__name__, kinds=("schedule",))
