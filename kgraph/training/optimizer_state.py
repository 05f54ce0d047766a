"""The state of an optimizer, for the weights one by one or for stacked ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from kgraph.compiler import Layout, Program
from kgraph.optimizers import Optimizer
from kgraph.training.placement import Placement
from kgraph.types import Params


@partial(jax.tree_util.register_dataclass, data_fields=["tree"], meta_fields=["layout"])
@dataclass(frozen=True)
class PackedOptimizerState:
    """What a training leaves behind for the next one: nobody else has these arrays.

    Fields:
        layout: of the parameters that they are for.
        tree: the optimizer's state for such parameters.
    """

    layout: Layout
    tree: Any

    def plain(self) -> Any:
        """Returns the optimizer's state with an array for each parameter of each layer."""
        return self.layout.unpack_state(self.tree)


def new_optimizer_state(
    program: Program, optimizer: Optimizer, params: Params, placement: Placement | None = None
) -> Any:
    """Returns the optimizer's state before the first step, for the trained parameters.

    Args:
        program: whose parameters.
        optimizer: what will update them.
        params: all of them, packed or not; the state is for them as they are.
        placement: where arrays lie on several devices; None for one device.
    """
    layout = program.weights.layout_of({"params": params})
    trained = layout.split(params)[0]
    if placement is None:
        return optimizer._kgraph_init(trained)
    shapes = jax.eval_shape(optimizer._kgraph_init, trained)
    where = placement.shardings(placement.laid(layout), shapes)
    return jax.jit(optimizer._kgraph_init, out_shardings=where)(trained)
