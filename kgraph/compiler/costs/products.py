"""Rules of layers that are mostly one matrix product or convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kgraph.compiler.costs.traced import of_function
from kgraph.compiler.costs.work import Rule, Specs, Work, elements, item_bytes, nbytes, sizes
from kgraph.layers import (
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    Dense,
    DepthwiseConv1D,
    DepthwiseConv2D,
    Embedding,
    SeparableConv1D,
    SeparableConv2D,
)
from kgraph.layers.core.einsum_dense import EinsumDense


def product(count: int) -> Work:
    """Returns the work of a product with a weight, of so many multiplications.

    Both gradients are products of the same size.
    """
    return Work(2 * count, to_inputs=2 * count, to_weights=2 * count, needs_inputs="for weights")


def finish(layer: Any, outputs: Specs) -> Work:
    """Returns the work of the bias and the activation."""
    count = elements(outputs[0]) if layer.bias is not None else 0
    activation = of_function(layer.activation, outputs[0])
    if activation.needs_inputs == "always":  # which are no inputs of the layer
        kept = activation.keeps + nbytes(outputs[0])
        activation = replace(activation, keeps=kept, needs_inputs="never")
    return Work(count, to_weights=count) + activation


def dense(layer: Any, inputs: Specs, outputs: Specs) -> Work:
    """Each output is a sum over the input features."""
    return product(elements(outputs[0]) * sizes(inputs[0])[-1]) + finish(layer, outputs)


def einsum_dense(layer: Any, inputs: Specs, outputs: Specs) -> Work:
    """Each output is a sum over the letters that only inputs and kernel have."""
    own = layer.letters
    summed = [n for x, n in zip(own.kernel, layer.kernel.shape) if x not in own.outputs]
    return product(elements(outputs[0]) * math.prod(summed)) + finish(layer, outputs)


def embedding(layer: Any, inputs: Specs, outputs: Specs) -> Work:
    """Rows are copied; their gradients are added up."""
    return Work(to_weights=elements(outputs[0]), needs_inputs="for weights")


def taps(size: int, steps: int, window: int, stride: int, dilation: int, low: int) -> int:
    """Returns how many pairs of output and kernel place along an axis meet a real input.

    >>> taps(size=4, steps=4, window=3, stride=1, dilation=1, low=1)
    10
    """
    places = np.arange(steps)[:, None] * stride - low + np.arange(window) * dilation
    return int(np.count_nonzero((places >= 0) & (places < size)))


def _spatial(layer: Any, spec: Any) -> tuple[int, ...]:
    found = sizes(spec)
    return found[1:-1] if layer.data_format == "channels_last" else found[2:]


def meetings(layer: Any, inner: Sequence[int], outer: Sequence[int]) -> int:
    """Returns the pairs of output place and kernel place, over all axes, without padding."""
    total = 1
    windows = zip(inner, outer, layer.kernel_size, layer.strides, layer.dilation_rate)
    for size, steps, window, stride, dilation in windows:
        reach = dilation * (window - 1) + 1
        spare = max((steps - 1) * stride + reach - size, 0)
        low = {"valid": 0, "causal": reach - 1}.get(layer.padding, spare // 2)
        total *= taps(size, steps, window, stride, dilation, low)
    return total


def convolution(layer: Any, inputs: Specs, outputs: Specs) -> Work:
    """Each meeting multiplies the channels of a group with as many filters."""
    met = meetings(layer, _spatial(layer, inputs[0]), _spatial(layer, outputs[0]))
    channels = layer.kernel.shape[-2]  # of one group
    return product(sizes(inputs[0])[0] * met * channels * layer.filters) + finish(layer, outputs)


def depthwise(layer: Any, inputs: Specs, outputs: Specs) -> Work:
    """Each channel has its own kernels."""
    met = meetings(layer, _spatial(layer, inputs[0]), _spatial(layer, outputs[0]))
    channels = math.prod(layer.kernel.shape[-2:])
    return product(sizes(inputs[0])[0] * met * channels) + finish(layer, outputs)


def separable(layer: Any, inputs: Specs, outputs: Specs) -> Work:
    """A depthwise convolution, then a product over the channels at each place."""
    outer = _spatial(layer, outputs[0])
    met = meetings(layer, _spatial(layer, inputs[0]), outer)
    batch, channels = sizes(inputs[0])[0], layer.pointwise_kernel.shape[-2]
    between = batch * math.prod(outer) * channels
    mixing = 2 * between * layer.filters
    kept = between * item_bytes(outputs[0])
    mixed = Work(mixing, through=mixing, to_weights=mixing, keeps=kept)
    return product(batch * met * channels) + mixed + finish(layer, outputs)


def transposed(layer: Any, inputs: Specs, outputs: Specs) -> Work:
    """A convolution from outputs to inputs, with inputs and outputs exchanged."""
    met = meetings(layer, _spatial(layer, outputs[0]), _spatial(layer, inputs[0]))
    channels = math.prod(layer.kernel.shape[-2:])
    return product(sizes(inputs[0])[0] * met * channels) + finish(layer, outputs)


RULES: dict[type, Rule] = {
    Dense: dense,
    EinsumDense: einsum_dense,
    Embedding: embedding,
    **dict.fromkeys((Conv1D, Conv2D, Conv3D), convolution),
    **dict.fromkeys((DepthwiseConv1D, DepthwiseConv2D), depthwise),
    **dict.fromkeys((SeparableConv1D, SeparableConv2D), separable),
    **dict.fromkeys((Conv1DTranspose, Conv2DTranspose, Conv3DTranspose), transposed),
}
"""The rule of each class."""
