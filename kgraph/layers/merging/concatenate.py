"""Concatenate: inputs side by side."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

import jax.numpy as jnp

from kgraph.checks import check_integer
from kgraph.errors import GraphError
from kgraph.layers.base import Layer
from kgraph.layers.base.core import label_of
from kgraph.layers.base.mask_check import check_masks
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.merging.inputs import check_list, equal, mismatch, sizes
from kgraph.types import Array, ArrayLike


class Concatenate(Layer):
    """Puts its inputs side by side along one axis.

    Shapes: tensors with equal sizes on all other axes. Mask: the masks side by side (or, where the
    axis is one that masks do not have, joined by OR); an input without one counts as a whole.

    Args:
        axis: which one; negative axes count from the end.

    Raises:
        GraphError: on a call, if another axis has different sizes.

    >>> from kgraph.layers import Input
    >>> Concatenate()([Input((5, 3)), Input((5, 4))]).shape
    (None, 5, 7)
    """

    supports_masking = True
    exact: ClassVar[bool] = True

    def __init__(self, axis: int = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis = check_integer("Concatenate", "axis", axis)

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        tensors = check_list(self, args[0] if args else kwargs.get("inputs"), 1, None)
        ranks = {len(sizes(tensor)) for tensor in tensors}
        if len(ranks) > 1 or not -max(ranks) <= self.axis < max(ranks):
            raise GraphError(
                f"{label_of(self)} cannot put these inputs side by side on axis {self.axis}",
                expected="tensors of equal rank that have this axis",
                received=", ".join(f"{len(sizes(tensor))} axes" for tensor in tensors),
            )
        joined = self.axis % max(ranks)
        for axis, found in enumerate(zip(*map(sizes, tensors))):
            if axis != joined and not all(equal(found[0], size) for size in found[1:]):
                raise mismatch(self, tensors, axis, list(found))

    def call(self, inputs: Sequence[Array]) -> Array:
        return jnp.concatenate(list(inputs), axis=self.axis)

    def compute_mask(
        self, inputs: Sequence[Array], previous_mask: Sequence[Array | None] | None = None
    ) -> Array | None:
        checked = check_masks(self, inputs, previous_mask)
        given = [mask for mask in checked if mask is not None]
        if previous_mask is None or not given:
            return None
        rank = given[0].ndim
        masks = [
            jnp.ones(tensor.shape[:rank], bool) if mask is None else mask
            for tensor, mask in zip(inputs, previous_mask)
        ]
        axis = self.axis % inputs[0].ndim
        if axis < rank:
            return jnp.concatenate(masks, axis=axis)
        return functools.reduce(jnp.logical_or, masks)


def concatenate(
    inputs: Sequence[ArrayLike], axis: int = -1, **options: Unpack[LayerOptions]
) -> Any:
    """Returns tensors side by side; see `Concatenate`.

    >>> from kgraph.layers import Input
    >>> concatenate([Input((3,)), Input((4,))]).shape
    (None, 7)
    """
    return Concatenate(axis, **options)(inputs)
