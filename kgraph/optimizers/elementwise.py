"""Which optimizers treat each number of a parameter by itself."""

from __future__ import annotations

from kgraph.declared import word_of
from kgraph.optimizers.optimizer import Optimizer


def is_elementwise(optimizer: Optimizer) -> bool:
    """Tells whether an update treats each number of a parameter by itself, whatever its path.

    A rule that looks at norms, shapes or paths of parameters gives other numbers for stacked ones.
    The state of one that does not is made of trees like the parameters, and can be stacked as they
    are. A class says which it is: `class Mine(Optimizer, elementwise=True)`.
    """
    if not word_of(optimizer) or optimizer.clipnorm is not None:
        return False
    return "exclude_from_weight_decay" not in optimizer.get_config()
