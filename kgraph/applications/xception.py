"""Xception: separable convolutions with shortcuts around groups of two or three."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kgraph import layers
from kgraph.applications.imagenet_utils import decode_predictions
from kgraph.applications.imagenet_utils import tf_input as preprocess_input
from kgraph.applications.network import Design, network
from kgraph.applications.pretrained import KERAS, published

if TYPE_CHECKING:
    pass


__all__ = ["Xception", "decode_predictions", "preprocess_input"]

_SOURCE = """Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions",
    arXiv:1610.02357, figure 5."""
_FILE = "xception_weights_tf_dim_ordering_tf_kernels"


def _relu(x: Any, name: str) -> Any:
    return layers.Activation("relu", name=f"{name}_act")(x)


def _separable(x: Any, filters: int, name: str) -> Any:
    x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(name=f"{name}_bn")(x)


def _halving(x: Any, block: int, filters: tuple[int, int]) -> Any:
    """Two separable convolutions and pooling, beside a convolution of 1 x 1."""
    shortcut = layers.Conv2D(filters[1], 1, 2, padding="same", use_bias=False)(x)
    shortcut = layers.BatchNormalization()(shortcut)
    for i, width in enumerate(filters, start=1):
        name = f"block{block}_sepconv{i}"
        x = _separable(x if block == 2 and i == 1 else _relu(x, name), width, name)
    x = layers.MaxPooling2D(3, 2, padding="same", name=f"block{block}_pool")(x)
    return layers.Add()([x, shortcut])


def _body(x: Any) -> Any:
    for i, (width, strides) in enumerate(((32, 2), (64, 1)), start=1):
        x = layers.Conv2D(width, 3, strides, use_bias=False, name=f"block1_conv{i}")(x)
        x = _relu(layers.BatchNormalization(name=f"block1_conv{i}_bn")(x), f"block1_conv{i}")
    for block, width in ((2, 128), (3, 256), (4, 728)):
        x = _halving(x, block, (width, width))
    for block in range(5, 13):
        shortcut = x
        for i in range(1, 4):
            x = _separable(_relu(x, f"block{block}_sepconv{i}"), 728, f"block{block}_sepconv{i}")
        x = layers.Add()([x, shortcut])
    x = _halving(x, 13, (728, 1024))
    for i, width in enumerate((1536, 2048), start=1):
        x = _relu(_separable(x, width, f"block14_sepconv{i}"), f"block14_sepconv{i}")
    return x


Xception = network(
    Design(
        "Xception", "xception", _body, _SOURCE,
        published(
            f"{KERAS}/xception",
            (f"{_FILE}.h5", "0a58e3b7378bc2990ea3b43d5981f1f6"),
            (f"{_FILE}_notop.h5", "b0042744bf5b25fce3cb969f33bebb97"),
        ),
        size=299, least=71,
    )
)  # fmt: skip
