"""Which layers a normalisation behind them can be folded into, and along which axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kgraph.errors import ConfigError
from kgraph.graph.node import LayerSpec


@dataclass(frozen=True)
class Linear:
    """A layer whose output can be scaled and shifted by its weights.

    Fields:
        kernel, bias: the weights to change.
        scales, offsets: shapes in which numbers for each feature lie along kernel and bias.
    """

    kernel: str
    bias: str
    scales: tuple[int, ...]
    offsets: tuple[int, ...]


def as_linear(spec: LayerSpec, axis: int, rank: int) -> Linear | None:
    """Returns how features of the output are scaled by the weights, or None if they cannot be.

    Args:
        spec: of the layer.
        axis: along which the features lie.
        rank: of the output.
    """
    last = spec.traits.activation
    if last is not None and last.function != "linear":
        return None
    for form in spec.traits.linear:
        if -rank <= form.axis < rank and form.axis % rank == axis % rank:
            kernel = kernel_shape(spec, form.kernel)
            scales = _only(form.kernel_axes, kernel)
            bias = next((w.shape for w in spec.weights if w.path == form.bias), ())
            offsets = [1] * max(len(bias), -form.bias_axis)
            offsets[form.bias_axis] = math.prod(scales)
            return Linear(form.kernel, form.bias, scales, tuple(offsets))
    return None


def _only(axes: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """Returns the shape with 1 for each axis that is not among `axes`."""
    kept = {axis % len(shape) for axis in axes}
    return tuple(size if i in kept else 1 for i, size in enumerate(shape))


def kernel_shape(spec: LayerSpec, path: str) -> tuple[int, ...]:
    """Returns the shape of a kernel that a layer's traits name.

    Raises:
        ConfigError: the layer has no such weight.
    """
    for weight in spec.weights:
        if weight.path == path:
            return weight.shape
    raise ConfigError(
        f"The traits of {spec.class_name} name a kernel {path!r} that it does not have",
        expected=", ".join(repr(weight.path) for weight in spec.weights) or "a weight",
        hint='say which attribute holds it: LinearForm(kernel="..."), Projection(kernel="...")',
    )
