"""InceptionResNetV2: inception blocks as damped residual branches."""

from __future__ import annotations

from typing import Any

from kgraph import layers
from kgraph.applications.imagenet_utils import decode_predictions
from kgraph.applications.imagenet_utils import tf_input as preprocess_input
from kgraph.applications.inception_v3 import chain, conv, pooled_conv, stem
from kgraph.applications.network import Design, network
from kgraph.applications.pretrained import KERAS, published

__all__ = ["InceptionResNetV2", "decode_predictions", "preprocess_input"]

_SOURCE = """Szegedy, Ioffe, Vanhoucke and Alemi, "Inception-v4, Inception-ResNet and the Impact of
    Residual Connections on Learning", arXiv:1602.07261, figures 15 to 20."""
_FILE = "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels"


def _residual(x: Any, branches: list[Any], scale: float, name: str, last: bool = False) -> Any:
    mixed = layers.Concatenate(name=f"{name}_mixed")(branches)
    up = layers.Conv2D(x.shape[-1], 1, padding="same", name=f"{name}_conv")(mixed)
    x = layers.ScaledAdd(scale)([x, up])
    return x if last else layers.Activation("relu", name=f"{name}_ac")(x)


def _block_35(x: Any, name: str) -> Any:
    branches = [
        conv(x, 32, 1), chain(x, (32, 1), (32, 3)), chain(x, (32, 1), (48, 3), (64, 3)),
    ]  # fmt: skip
    return _residual(x, branches, 0.17, name)


def _block_17(x: Any, name: str) -> Any:
    branches = [conv(x, 192, 1), chain(x, (128, 1), (160, (1, 7)), (192, (7, 1)))]
    return _residual(x, branches, 0.1, name)


def _block_8(x: Any, name: str, last: bool) -> Any:
    branches = [conv(x, 192, 1), chain(x, (192, 1), (224, (1, 3)), (256, (3, 1)))]
    return _residual(x, branches, 1.0 if last else 0.2, name, last)


def _halved(x: Any, *branches: tuple[Any, int], name: str) -> Any:
    """Convolutions with strides of 2, each of what stands before it, beside pooling."""
    halves = [conv(y, filters, 3, 2, "valid") for y, filters in branches]
    return layers.Concatenate(name=name)([*halves, layers.MaxPooling2D(3, 2)(x)])


def _body(x: Any) -> Any:
    x = stem(x)
    branches = [
        conv(x, 96, 1), chain(x, (48, 1), (64, 5)), chain(x, (64, 1), (96, 3), (96, 3)),
        pooled_conv(x, 64),
    ]  # fmt: skip
    x = layers.Concatenate(name="mixed_5b")(branches)
    for i in range(1, 11):
        x = _block_35(x, f"block35_{i}")
    x = _halved(x, (x, 384), (chain(x, (256, 1), (256, 3)), 384), name="mixed_6a")
    for i in range(1, 21):
        x = _block_17(x, f"block17_{i}")
    wide = chain(x, (256, 1)), chain(x, (256, 1)), chain(x, (256, 1), (288, 3))
    x = _halved(x, *zip(wide, (384, 288, 320)), name="mixed_7a")
    for i in range(1, 11):
        x = _block_8(x, f"block8_{i}", last=i == 10)
    x = layers.Conv2D(1536, 1, padding="same", use_bias=False, name="conv_7b")(x)
    x = layers.BatchNormalization(scale=False, name="conv_7b_bn")(x)
    return layers.Activation("relu", name="conv_7b_ac")(x)


InceptionResNetV2 = network(
    Design(
        "InceptionResNetV2", "inception_resnet_v2", _body, _SOURCE,
        published(
            f"{KERAS}/inception_resnet_v2",
            (f"{_FILE}.h5", "e693bd0210a403b3192acc6073ad2e96"),
            (f"{_FILE}_notop.h5", "d19885ff4a710c122648d3b5c3b684e4"),
        ),
        size=299, least=75,
    )
)  # fmt: skip
