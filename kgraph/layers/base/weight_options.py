"""The options of a weight: how it starts, its penalty and its constraint, under Keras' names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kgraph import constraints, initializers, regularizers
from kgraph.layers.base.layer import Layer
from kgraph.types import ConstraintLike, Function, InitializerLike, RegularizerLike


class KernelAndBias:
    """What `set_options` sets on layers with a kernel and a bias."""

    kernel_initializer: Function | None
    kernel_regularizer: Function | None
    kernel_constraint: Function | None
    bias_initializer: Function | None
    bias_regularizer: Function | None
    bias_constraint: Function | None


def set_options(
    layer: Layer,
    weight: str,
    initializer: InitializerLike | None,
    regularizer: RegularizerLike | None,
    constraint: ConstraintLike | None,
) -> None:
    """Sets `<weight>_initializer`, `<weight>_regularizer` and `<weight>_constraint` of a layer."""
    setattr(layer, f"{weight}_initializer", initializers.get(initializer))
    setattr(layer, f"{weight}_regularizer", regularizers.get(regularizer))
    setattr(layer, f"{weight}_constraint", constraints.get(constraint))


def add_with_options(
    layer: Layer,
    weight: str,
    shape: Sequence[int | None],
    name: str | None = None,
    initializer: InitializerLike | None = None,
) -> Any:
    """Adds a weight with the options that `set_options` has set.

    Args:
        layer: the layer.
        weight: as in `set_options`.
        shape: sizes, all known.
        name: of the weight; by default `weight`.
        initializer: in the place of that of the options.
    """
    return layer.add_weight(
        shape,
        initializer or getattr(layer, f"{weight}_initializer"),
        name=name or weight,
        regularizer=getattr(layer, f"{weight}_regularizer"),
        constraint=getattr(layer, f"{weight}_constraint"),
    )
