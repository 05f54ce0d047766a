"""The arrays of a model as Keras keeps them: its weights, but for divided and adapted kernels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kgraph.layers import SpectralNormalization
from kgraph.layers.base import Layer
from kgraph.layers.base.adaptable import adapted
from kgraph.layers.base.tree import children, parts_of
from kgraph.layers.base.variable import Variable
from kgraph.saving.keras_format.weight_paths import own_groups, weight_paths
from kgraph.saving.kgraph_format.own_state import own_arrays


def kept_arrays(model: Layer, order: Mapping[int, list[Layer]]) -> dict[str, np.ndarray]:
    """Returns what a file for Keras holds, by path.

    A kernel that kgraph divides in inference is written divided, as Keras does not divide there.
    What LoRA has learned is written as a part of the weight that rests, as in Keras.
    """
    changed = dict(_divided(model)) | dict(_merged(model))
    arrays = {
        at: changed[id(weight)] if id(weight) in changed else np.asarray(weight.value)
        for at, weight in weight_paths(model, order).items()
    }
    for group, layer in own_groups(model, order).items():
        arrays |= {f"{group}/{name}": array for name, array in own_arrays(layer).items()}
    return arrays


def _merged(model: Layer) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the weights that rest with what is learned beside them, by the ids of the weights."""
    for layer in parts_of(model):
        if (weight := layer._kgraph.adapted) is not None:
            yield id(weight), np.asarray(adapted(layer, weight.value))


def _divided(layer: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the kernels to be divided by the ids of their weights, inner divisions first."""
    for _, child in children(layer):
        yield from _divided(child)
    if isinstance(layer, SpectralNormalization) and layer.divide_in_inference and layer.built:
        kernel: Variable = vars(layer.layer)[layer.target or ""]
        vector: Variable = vars(layer)["vector_u"]
        array, _ = layer.divided(kernel.value, vector.value)
        yield id(kernel), np.asarray(array)
