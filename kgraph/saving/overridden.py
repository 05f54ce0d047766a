"""Optimizers that would be saved in another way than they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kgraph.hooks import refuse_saving_overrides

if TYPE_CHECKING:
    from kgraph.models.model import Model


def refuse_other_ways(model: Model) -> None:
    """Raises ConfigError if the optimizer of a model overrides how it is saved or loaded."""
    refuse_saving_overrides(model.optimizer, "Optimizer")
