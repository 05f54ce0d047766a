"""Window: how a kernel moves over an array, and the one call of XLA's convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import jax

from kgraph.types import Array

Pads: TypeAlias = tuple[tuple[int, int], ...]
"""Zeros before and after each spatial axis."""


@dataclass(frozen=True)
class Window:
    """All options of a convolution; hashable, so that JAX can compare calls.

    Fields:
        strides: distance of one window to the next, along each spatial axis.
        padding: "SAME" or "VALID", or the zeros before and after each spatial axis.
        dilation: distance of one tap of the kernel to the next.
        stretch: distance of one input to the next, with zeros between (transposed convolutions).
        groups: the channels are split into so many groups.
        channels_last: whether the channels are the last axis, or the one after the batch.
    """

    strides: tuple[int, ...]
    padding: str | Pads
    dilation: tuple[int, ...]
    stretch: tuple[int, ...]
    groups: int = 1
    channels_last: bool = True

    @property
    def axes(self) -> str:
        """A letter for each spatial axis."""
        return "DHW"[3 - len(self.strides) :]

    def pads(self, sizes: Sequence[int], kernel: Sequence[int]) -> list[tuple[int, int]]:
        """Returns the zeros before and after each spatial axis.

        Args:
            sizes: of the input along these axes; unknown ones may be symbols.
            kernel: its sizes along them.
        """
        if not isinstance(self.padding, str):
            return list(self.padding)
        reach = [d * (k - 1) + 1 for d, k in zip(self.dilation, kernel)]
        return list(jax.lax.padtype_to_pads(sizes, reach, self.strides, self.padding))


def convolve(
    inputs: Array, kernel: Array, window: Window, layout: tuple[str, str, str] | None = None
) -> Array:
    """Convolves by XLA's own operation.

    Args:
        inputs: `[batch, *spatial, channels]`, or with the channels after the batch.
        kernel: `[*sizes, channels / groups, filters]`.
        window: the options.
        layout: names of the axes of input, kernel and output, if they are others.
    """
    axes = window.axes
    images = f"N{axes}C" if window.channels_last else f"NC{axes}"
    plain = all(step == 1 for step in window.stretch)
    return jax.lax.conv_general_dilated(
        inputs,
        kernel,
        window_strides=window.strides,
        padding=window.padding,
        lhs_dilation=None if plain else window.stretch,
        rhs_dilation=window.dilation,
        dimension_numbers=layout or (images, f"{axes}IO", images),
        feature_group_count=window.groups,
    )
