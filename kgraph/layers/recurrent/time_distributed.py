"""TimeDistributed: one layer on every step."""

from __future__ import annotations

from typing import Any

from kgraph.graph.structure import map_structure
from kgraph.layers.base import InputSpec
from kgraph.layers.base.call_spec import call_spec
from kgraph.layers.base.mask_check import check_mask
from kgraph.layers.core.wrapper import Wrapper
from kgraph.types import Array, Shape


class TimeDistributed(Wrapper):
    """Applies a layer to every step of a sequence, all steps at once.

    The steps join the samples in one larger batch, so the layer runs once; batch statistics are
    taken over all steps.

    Shapes: `[batch, time, *sizes]` in; `[batch, time, *out]` out, where the layer makes
    `[batch, *out]` of `[batch, *sizes]`.
    Mask: `[batch, time]` goes through, and `[batch * time]` to a layer that takes a mask.

    Args:
        layer: the layer.

    Raises:
        ConfigError: that is not a layer.

    >>> from kgraph.layers import Input
    >>> from kgraph.layers import Dense
    >>> TimeDistributed(Dense(4))(Input((10, 3))).shape
    (None, 10, 4)
    """

    supports_masking = True
    input_spec = InputSpec(min_ndim=3)

    def build(self, input_shape: Shape) -> None:
        super().build((input_shape[0], *input_shape[2:]))

    def call(self, inputs: Array, training: bool | None = None, mask: Array | None = None) -> Any:
        lead = inputs.shape[:2]
        check_mask(self, mask, lead)
        options: dict[str, Any] = {"training": training}
        if mask is not None and call_spec(type(self.layer)).takes_mask:
            options["mask"] = _join(mask)
        outputs = self.layer(_join(inputs), **options)
        return map_structure(lambda y: y.reshape((*lead, *y.shape[1:])), outputs)


def _join(array: Array) -> Array:
    """Returns `[batch * time, ...]` of `[batch, time, ...]`."""
    batch, time = array.shape[:2]
    return array.reshape((batch * time, *array.shape[2:]))
