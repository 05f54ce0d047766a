"""Which form of a convolution a CPU computes fastest: a small rule, learnt from measurements.

`python -m benchmarks convolutions` measures the forms; `benchmarks/results/convolutions.json` has
the numbers that this rule comes from (2 cores, jax 0.10.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kgraph.layers.convolution.window import Window
from kgraph.types import DTypeLike

_FEW_CHANNELS = 4
"""With so few channels XLA's convolutions do not fill a core's registers."""

_SMALL_KERNEL = 144
"""A kernel of so few numbers is better met by patches, too: its gradients are no real product."""

MOST_TAPS = 128
"""With more, the forms take seconds to compile (one operation for each tap), and gain little."""

_MOST_PATCHES = 2**28
"""Patches of volumes are not made of more numbers (1 GiB) than that."""


@dataclass(frozen=True)
class Choice:
    """Names of the forms for a convolution and its two gradients.

    Fields:
        outputs: how the outputs are computed.
        inputs: whose transpose is the gradient by the inputs.
        kernel: whose transpose is the gradient by the kernel.
    """

    outputs: str = "window"
    inputs: str = "turned for inputs"
    kernel: str = "turned for kernel"

    def __str__(self) -> str:
        forms = {"outputs": self.outputs, "inputs": self.inputs, "kernel": self.kernel}
        if len(set(forms.values())) == 1:
            return self.outputs
        return ", ".join(f"{what} by {form}" for what, form in forms.items())


def choose(window: Window, kernel: Sequence[int], dtype: DTypeLike, count: int = 0) -> Choice:
    """Returns the forms for a convolution; its batch and the sizes of images hardly matter.

    - Arrays of 16 bits: XLA's own, as sums of 16 bits would lose digits.
    - Kernels of very many taps: XLA's own.
    - One filter for each channel: a sum over the taps. XLA's loop over groups is 2 to 50 x slower.
    - Other groups: gradients by patches; XLA's gradient by the kernel is 25 x slower.
    - Kernels of one tap: one matrix product, 1.2 to 3 x faster.
    - Volumes: patches, 1.5 to 3 x faster and more with strides, unless they would fill the memory.
    - Few channels, or a small kernel: the gradient by the inputs by patches, 2 to 8 x faster. (With
      few filters and many channels it is up to 15 x slower.)
    - Inputs that are stretched or padded by more than "same" (transposed convolutions): the
      gradient by the kernel by spreading, 2 to 9 x faster; the outputs too if filters are few.
    - Everything else: XLA's own; it runs at the speed of a matrix product already.

    Args:
        window: the options.
        kernel: shape of the kernel, `[*sizes, channels / groups, filters]`.
        dtype: of the arrays.
        count: numbers in the inputs, if known.
    """
    *taps, inner, filters = kernel
    if np.dtype(dtype).itemsize < 4 or math.prod(taps) > MOST_TAPS:
        return Choice()
    single = max(window.strides) == 1
    if max(window.stretch) > 1:
        simple = window.groups == 1 and single
        return Choice(kernel="spreading") if simple else Choice()
    if window.groups > 1:
        if inner == 1:
            return Choice("shifts", "shifts", "shifts")
        return Choice(inputs="patches", kernel="patches")
    if math.prod(taps) == 1:
        return Choice("product", "product", "product")
    if len(taps) == 3 and math.prod(taps) * count <= _MOST_PATCHES:
        return Choice("patches", "patches", "patches")
    if len(taps) == 3 or not single:
        return Choice()
    few = inner <= _FEW_CHANNELS or math.prod(kernel) <= _SMALL_KERNEL
    inputs = "patches" if few else Choice.inputs
    if not _enlarges(window, taps):
        return Choice(inputs=inputs)
    outputs = "spreading" if filters <= _FEW_CHANNELS else Choice.outputs
    return Choice(outputs, inputs, "spreading")


def _enlarges(window: Window, taps: Sequence[int]) -> bool:
    """Tells whether there are more outputs than inputs along an axis (with strides of 1)."""
    if isinstance(window.padding, str):
        return False
    rows = zip(window.padding, window.dilation, taps)
    return any(sum(pads) > d * (k - 1) for pads, d, k in rows)
