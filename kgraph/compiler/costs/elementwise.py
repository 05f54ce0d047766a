"""Rules of layers that compute a little for each number: merging, normalising, pooling, moving."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax

from kgraph.compiler.costs.traced import of_function
from kgraph.compiler.costs.work import Rule, Specs, Work, elements, item_bytes, nbytes
from kgraph.layers import (
    Activation,
    ActivityRegularization,
    Add,
    Average,
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    BatchNormalization,
    Concatenate,
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Dropout,
    Flatten,
    GaussianNoise,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    GroupNormalization,
    Identity,
    LayerNormalization,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
    Multiply,
    Permute,
    RepeatVector,
    Rescaling,
    Reshape,
    RMSNormalization,
    Softmax,
    Subtract,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


_NORMALIZATION: dict[type, tuple[int, int, int, int]] = {
    BatchNormalization: (6, 8, 2, 2),
    LayerNormalization: (7, 11, 2, 3),
    GroupNormalization: (7, 11, 2, 3),
    RMSNormalization: (4, 7, 2, 3),
}
"""For each number: FLOPs forward, back through and for the weights, and numbers kept."""


_MOVING: tuple[type, ...] = (
    Identity, Flatten, Reshape, Permute, Concatenate, ActivityRegularization, Cropping1D,
    Cropping2D, Cropping3D, ZeroPadding1D, ZeroPadding2D, ZeroPadding3D,
)  # fmt: skip


def moving(layer: Layer, inputs: Specs, outputs: Specs) -> Work:
    """Numbers are copied, and nothing is computed."""
    return Work()


def repeating(layer: Layer, inputs: Specs, outputs: Specs) -> Work:
    """Numbers are copied several times, and their gradients added up."""
    return Work(through=elements(outputs[0]))


def activation(layer: Any, inputs: Specs, outputs: Specs) -> Work:
    """The function of the layer."""
    return of_function(layer.activation, outputs[0])


def softmax(layer: Layer, inputs: Specs, outputs: Specs) -> Work:
    """Softmax of each row."""
    return of_function(jax.nn.softmax, outputs[0])


def scaling(layer: Layer, inputs: Specs, outputs: Specs) -> Work:
    """A factor and a term."""
    return Work(2 * elements(outputs[0]), through=elements(outputs[0]))


def noise(layer: Layer, inputs: Specs, outputs: Specs) -> Work:
    """A random term. The arithmetic of random bits does not count."""
    return Work(2 * elements(outputs[0]))


def dropout(layer: Any, inputs: Specs, outputs: Specs) -> Work:
    """A choice and a factor; the choices are kept. The arithmetic of random bits does not count."""
    count = elements(outputs[0]) if layer.rate else 0
    return Work(2 * count, through=2 * count, keeps=count)


def merging(layer: Layer, inputs: Specs, outputs: Specs) -> Work:
    """One operation for each further input."""
    return Work((len(inputs) - 1) * elements(outputs[0]))


def averaging(layer: Layer, inputs: Specs, outputs: Specs) -> Work:
    """A sum and a factor."""
    count = elements(outputs[0])
    return Work(len(inputs) * count, through=len(inputs) * count)


def multiplying(layer: Layer, inputs: Specs, outputs: Specs) -> Work:
    """Each gradient is a product with the other inputs."""
    count = (len(inputs) - 1) * elements(outputs[0])
    return Work(count, through=2 * count, needs_inputs="always")


def normalization(layer: Layer, inputs: Specs, outputs: Specs) -> Work:
    """Statistics, then a factor and a term for each number."""
    kind = next(cls for cls in type(layer).__mro__ if cls in _NORMALIZATION)
    forward, through, weights, kept = _NORMALIZATION[kind]
    count = elements(inputs[0])
    return Work(
        forward * count, through=through * count, to_weights=weights * count,
        keeps=kept * count * max(item_bytes(inputs[0]), 4),  # statistics are float32
    )  # fmt: skip


def max_pooling(layer: Any, inputs: Specs, outputs: Specs) -> Work:
    """Comparisons over each window, and again to find where the gradient goes."""
    count, window = elements(outputs[0]), math.prod(layer.pool_size)
    return Work(count * (window - 1), through=count * window, needs_inputs="always")


def average_pooling(layer: Any, inputs: Specs, outputs: Specs) -> Work:
    """A sum over each window."""
    count = elements(outputs[0]) * math.prod(layer.pool_size)
    return Work(count, through=count)


def global_average(layer: Layer, inputs: Specs, outputs: Specs) -> Work:
    """A sum over the places of each channel."""
    return Work(elements(inputs[0]))


def global_max(layer: Layer, inputs: Specs, outputs: Specs) -> Work:
    """Comparisons over the places of each channel; where the largest are is kept."""
    count = elements(inputs[0])
    return Work(count, through=4 * count, keeps=nbytes(inputs[0]))


RULES: dict[type, Rule] = {
    Activation: activation,
    Softmax: softmax,
    Rescaling: scaling,
    GaussianNoise: noise,
    Dropout: dropout,
    Average: averaging,
    Multiply: multiplying,
    RepeatVector: repeating,
    **dict.fromkeys((Add, Subtract), merging),
    **dict.fromkeys(_NORMALIZATION, normalization),
    **dict.fromkeys((MaxPooling1D, MaxPooling2D, MaxPooling3D), max_pooling),
    **dict.fromkeys((AveragePooling1D, AveragePooling2D, AveragePooling3D), average_pooling),
    **dict.fromkeys(
        (GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D), global_average
    ),
    **dict.fromkeys((GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D), global_max),
    **dict.fromkeys(_MOVING, moving),
}
"""The rule of each class."""
