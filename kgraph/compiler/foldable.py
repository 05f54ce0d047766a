"""Which layers a normalisation behind them can be folded into, and along which axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kgraph.graph.node import LayerSpec
from kgraph.layers.core.einsum_dense import read_equation

_RANKS = ("1D", "2D", "3D")
_KERNELS = {
    "Dense": ("kernel", (-1,)),
    **{f"Conv{rank}": ("kernel", (-1,)) for rank in _RANKS},
    **{f"Conv{rank}Transpose": ("kernel", (-2,)) for rank in _RANKS},
    **{f"DepthwiseConv{rank}": ("kernel", (-2, -1)) for rank in _RANKS},
    **{f"SeparableConv{rank}": ("pointwise_kernel", (-1,)) for rank in _RANKS},
}
"""For each class the weight to scale, and which of its axes make the features of the output."""


@dataclass(frozen=True)
class Linear:
    """A layer whose output can be scaled and shifted by its weights.

    Fields:
        config: its options, with a bias.
        kernel: the weight to scale.
        scales, offsets: shapes in which numbers for each feature lie along kernel and bias.
    """

    config: dict[str, Any]
    kernel: str
    scales: tuple[int, ...]
    offsets: tuple[int, ...]


def as_linear(spec: LayerSpec, axis: int, rank: int) -> Linear | None:
    """Returns how features of the output are scaled by the weights, or None if they cannot be.

    Args:
        spec: of the layer.
        axis: along which the features lie.
        rank: of the output.
    """
    if not spec.own or _activation(spec) not in (None, "linear"):
        return None
    if spec.class_name == "EinsumDense":
        return _as_linear_einsum(spec, axis, rank)
    if spec.class_name not in _KERNELS:
        return None
    features = 1 if spec.config.get("data_format") == "channels_first" else -1
    if axis % rank != features % rank:
        return None
    name, axes = _KERNELS[spec.class_name]
    scales = _only(axes, _shape_of(spec, name))
    return Linear({**spec.config, "use_bias": True}, name, scales, (math.prod(scales),))


def _as_linear_einsum(spec: LayerSpec, axis: int, rank: int) -> Linear | None:
    """Does the same for an EinsumDense: the features need a letter that the kernel has too."""
    equation = read_equation(spec.config["equation"])
    letters = equation.outputs
    if equation.right or (equation.left and axis % rank < rank - len(letters)):
        return None
    letter = letters[axis % rank - (rank - len(letters))]
    biases = spec.config.get("bias_axes") or letter
    if letter not in equation.kernel or letter not in biases:
        return None
    kernel = _shape_of(spec, "kernel")
    along = equation.kernel.index(letter)
    first = min(letters.index(one) for one in biases)
    offsets = [kernel[along] if one == letter else 1 for one in letters[first:]]
    config = {**spec.config, "bias_axes": biases}
    return Linear(config, "kernel", _only((along,), kernel), tuple(offsets))


def _only(axes: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """Returns the shape with 1 for each axis that is not among `axes`."""
    kept = {axis % len(shape) for axis in axes}
    return tuple(size if i in kept else 1 for i, size in enumerate(shape))


def _shape_of(spec: LayerSpec, path: str) -> tuple[int, ...]:
    return next(weight.shape for weight in spec.weights if weight.path == path)


def _activation(spec: LayerSpec) -> Any:
    value = spec.config.get("activation")
    return value.get("function", value) if isinstance(value, dict) else value
