"""Layers and optimizers that would be saved in another way than they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kgraph.hooks import refuse_saving_overrides
from kgraph.layers.base.tree import parts_of

if TYPE_CHECKING:
    from kgraph.models.model import Model


def refuse_other_ways(model: Model) -> None:
    """Raises ConfigError if anything in a model overrides how it is saved or loaded."""
    for layer in parts_of(model):
        refuse_saving_overrides(layer, "Layer")
    refuse_saving_overrides(model.optimizer, "Optimizer")
