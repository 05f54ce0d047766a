"""Weights start as wide as in Keras: the deviation of each weight of each layer, drawn by both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from kgraph import layers

SHAPES: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "dense": (lambda L: L.Dense(96), (64,)),
    "einsum": (lambda L: L.EinsumDense("abc,cde->abde", (None, 4, 24), bias_axes="de"), (5, 64)),
    "einsum with a mean": (
        lambda L: L.EinsumDense("abc,cd->abd", (None, 96), kernel_initializer="he_normal"),
        (5, 64),
    ),
    "conv1d": (lambda L: L.Conv1D(48, 5), (9, 24)),
    "conv2d": (lambda L: L.Conv2D(32, 3, groups=2), (6, 6, 16)),
    "conv3d": (lambda L: L.Conv3D(24, 3), (4, 4, 4, 8)),
    "conv2d transposed": (lambda L: L.Conv2DTranspose(32, 3), (4, 4, 16)),
    "depthwise": (lambda L: L.DepthwiseConv2D(5, depth_multiplier=8), (6, 6, 32)),
    "separable": (lambda L: L.SeparableConv2D(96, 5, depth_multiplier=4), (6, 6, 24)),
    "embedding": (lambda L: L.Embedding(100, 60), ()),
    "simple rnn": (lambda L: L.SimpleRNN(64), (3, 48)),
    "lstm": (lambda L: L.LSTM(48), (3, 48)),
    "gru": (lambda L: L.GRU(48), (3, 48)),
    "conv lstm": (lambda L: L.ConvLSTM2D(16, 3), (3, 5, 5, 16)),
    "prelu": (lambda L: L.PReLU(alpha_initializer="random_normal"), (40, 60)),
    "additive attention": (lambda L: L.AdditiveAttention(), (3, 5000)),
    "heads": (lambda L: L.MultiHeadAttention(4, 24), (5, 64)),
    "heads of one size": (
        lambda L: L.MultiHeadAttention(2, 32, value_dim=16, output_shape=40),
        (5, 64),
    ),
    "heads from a normal": (
        lambda L: L.MultiHeadAttention(4, 24, kernel_initializer="lecun_normal"),
        (5, 64),
    ),
    "gated heads": (lambda L: L.MultiHeadAttention(4, 24, use_gate=True), (5, 64)),
    "grouped heads": (lambda L: L.GroupQueryAttention(24, 4, 2), (5, 64)),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_each_weight_starts_as_wide_as_in_keras(name: str, relaxed: None):
    make, shape = SHAPES[name]
    ours, theirs = make(layers), make(keras.layers)
    for layer in (ours, theirs):
        if "heads" in name:
            layer.build((None, *shape), (None, *shape))
        else:
            layer.build([(None, *shape)] * 2 if "attention" in name else (None, *shape))
    for one, two in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert one.shape == two.shape
        # The deviation of n draws is known to about 1 / sqrt(2 n) of itself: six of those.
        bound = 6 / np.sqrt(2 * max(one.size, 1)) * np.sqrt(2)
        assert one.std() == pytest.approx(two.std(), rel=bound, abs=1e-7), one.shape
