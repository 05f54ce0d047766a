"""DenseNet: each layer reads what all layers before it in its block made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from kgraph import layers
from kgraph.applications.imagenet_utils import decode_predictions
from kgraph.applications.imagenet_utils import torch_input as preprocess_input
from kgraph.applications.network import Design, network
from kgraph.applications.pretrained import KERAS, published
from kgraph.applications.resnet import norm_relu
from kgraph.models import Model

if TYPE_CHECKING:
    pass


__all__ = ["DenseNet121", "DenseNet169", "DenseNet201", "decode_predictions", "preprocess_input"]

_GROWTH = 32
_SOURCE = """Huang, Liu, van der Maaten and Weinberger, "Densely Connected Convolutional Networks",
    arXiv:1608.06993, table 1."""


def _convolution(x: Any, filters: int, kernel: int, strides: int = 1, **options: Any) -> Any:
    return layers.Conv2D(filters, kernel, strides, use_bias=False, **options)(x)


def _dense_layer(x: Any, name: str) -> Any:
    y = norm_relu(x, f"{name}_0")
    y = norm_relu(_convolution(y, 4 * _GROWTH, 1, name=f"{name}_1_conv"), f"{name}_1")
    y = _convolution(y, _GROWTH, 3, padding="same", name=f"{name}_2_conv")
    return layers.Concatenate(name=f"{name}_concat")([x, y])


def _transition(x: Any, name: str) -> Any:
    x = norm_relu(x, name)
    x = _convolution(x, x.shape[-1] // 2, 1, name=f"{name}_conv")
    return layers.AveragePooling2D(2, 2, name=f"{name}_pool")(x)


def _body(x: Any, depths: Sequence[int]) -> Any:
    x = _convolution(layers.ZeroPadding2D(3)(x), 64, 7, 2, name="conv1_conv")
    x = layers.ZeroPadding2D(1)(norm_relu(x, "conv1"))
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    for stage, depth in enumerate(depths, start=2):
        for i in range(1, depth + 1):
            x = _dense_layer(x, f"conv{stage}_block{i}")
        if stage < len(depths) + 1:
            x = _transition(x, f"pool{stage}")
    x = layers.BatchNormalization(epsilon=1.001e-5, name="bn")(x)
    return layers.Activation("relu", name="relu")(x)


def _densenet(depths: Sequence[int], top: str, body: str) -> Callable[..., Model]:
    size = 2 * sum(depths) + len(depths) + 1
    name = f"densenet{size}"
    file = f"{name}_weights_tf_dim_ordering_tf_kernels"
    files = published(f"{KERAS}/densenet", (f"{file}.h5", top), (f"{file}_notop.h5", body))
    return network(Design(f"DenseNet{size}", name, partial(_body, depths=depths), _SOURCE, files))


DenseNet121 = _densenet(
    (6, 12, 24, 16), "9d60b8095a5708f2dcce2bca79d332c7", "30ee3e1110167f948a6b9946edeeb738"
)
DenseNet169 = _densenet(
    (6, 12, 32, 32), "d699b8f76981ab1b30698df4c175e90b", "b8c4d4c20dd625c148057b9ff1c1176b"
)
DenseNet201 = _densenet(
    (6, 12, 48, 32), "1ceb130c1ea1b78c3bf6114dbdfd8807", "c13680b51ded0fb44dff2d8f86ac8bb1"
)
