"""ResNet: blocks of three convolutions beside a shortcut, each with its norm behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from kgraph import layers
from kgraph.applications.imagenet_utils import caffe_input as preprocess_input
from kgraph.applications.imagenet_utils import decode_predictions
from kgraph.applications.network import Design, network
from kgraph.applications.pretrained import KERAS, Pretrained, published
from kgraph.models import Model

if TYPE_CHECKING:
    pass


__all__ = ["ResNet50", "ResNet101", "ResNet152", "decode_predictions", "preprocess_input"]

EPSILON = 1.001e-5
"""Of all norms in the networks of this kind."""
_SOURCE = """He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition",
    arXiv:1512.03385, table 1."""


def stem(x: Any, bias: bool, norm: bool) -> Any:
    """A convolution of 7 x 7 and pooling: a quarter of the height and width, 64 channels."""
    x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
    x = layers.Conv2D(64, 7, 2, use_bias=bias, name="conv1_conv")(x)
    if norm:
        x = norm_relu(x, "conv1")
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return layers.MaxPooling2D(3, 2, name="pool1_pool")(x)


def norm_relu(x: Any, name: str) -> Any:
    """Normalizes and cuts at zero."""
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)


def residual_files(name: str, top: str, body: str) -> Pretrained:
    """Returns the files of a residual network, by the digests of both."""
    file = f"{name}_weights_tf_dim_ordering_tf_kernels"
    return published(f"{KERAS}/resnet", (f"{file}.h5", top), (f"{file}_notop.h5", body))


def _block(x: Any, filters: int, strides: int, widen: bool, name: str) -> Any:
    shortcut = x
    if widen:
        shortcut = layers.Conv2D(4 * filters, 1, strides, name=f"{name}_0_conv")(x)
        shortcut = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_0_bn")(shortcut)
    x = layers.Conv2D(filters, 1, strides, name=f"{name}_1_conv")(x)
    x = norm_relu(x, f"{name}_1")
    x = layers.Conv2D(filters, 3, padding="same", name=f"{name}_2_conv")(x)
    x = norm_relu(x, f"{name}_2")
    x = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(x)
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_3_bn")(x)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def _body(x: Any, depths: Sequence[int]) -> Any:
    x = stem(x, bias=True, norm=True)
    for stage, depth in enumerate(depths):
        for i in range(depth):
            strides = 2 if stage and not i else 1
            x = _block(x, 64 << stage, strides, not i, f"conv{stage + 2}_block{i + 1}")
    return x


def _resnet(depths: Sequence[int], top: str, body: str) -> Callable[..., Model]:
    size = 3 * sum(depths) + 2
    name = f"resnet{size}"
    files = residual_files(name, top, body)
    return network(Design(f"ResNet{size}", name, partial(_body, depths=depths), _SOURCE, files))


ResNet50 = _resnet(
    (3, 4, 6, 3), "2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626"
)
ResNet101 = _resnet(
    (3, 4, 23, 3), "f1aeb4b969a6efcfb50fad2f0c20cfc5", "88cf7a10940856eca736dc7b7e228a21"
)
ResNet152 = _resnet(
    (3, 8, 36, 3), "100835be76be38e30d865e96f2aaae62", "ee4c566cf9a93f14d82f913c2dc6dd0c"
)
