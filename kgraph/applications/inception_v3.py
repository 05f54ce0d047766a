"""InceptionV3: blocks of four branches with kernels of different sizes, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kgraph import layers
from kgraph.applications.imagenet_utils import decode_predictions
from kgraph.applications.imagenet_utils import tf_input as preprocess_input
from kgraph.applications.network import Design, network
from kgraph.applications.pretrained import KERAS, published

if TYPE_CHECKING:
    pass


__all__ = ["InceptionV3", "decode_predictions", "preprocess_input"]

_SOURCE = """Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception Architecture
    for Computer Vision", arXiv:1512.00567, table 1."""
_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels"

Kernel = int | tuple[int, int]


def conv(x: Any, filters: int, kernel: Kernel, strides: int = 1, padding: str = "same") -> Any:
    """A convolution, its norm, and a cut at zero."""
    x = layers.Conv2D(filters, kernel, strides, padding, use_bias=False)(x)
    return layers.Activation("relu")(layers.BatchNormalization(scale=False)(x))


def chain(x: Any, *steps: tuple[int, Kernel]) -> Any:
    """Convolutions one after the other, by filters and kernel."""
    for filters, kernel in steps:
        x = conv(x, filters, kernel)
    return x


def pooled_conv(x: Any, filters: int) -> Any:
    """The average of the nearest places, and a convolution of 1 x 1."""
    return conv(layers.AveragePooling2D(3, 1, padding="same")(x), filters, 1)


def stem(x: Any) -> Any:
    """From images to 192 channels of an eighth of their height and width."""
    x = conv(x, 32, 3, 2, "valid")
    x = conv(x, 32, 3, padding="valid")
    x = conv(x, 64, 3)
    x = layers.MaxPooling2D(3, 2)(x)
    x = conv(x, 80, 1, padding="valid")
    x = conv(x, 192, 3, padding="valid")
    return layers.MaxPooling2D(3, 2)(x)


def _block_35(x: Any, pooled: int, name: str) -> Any:
    branches = [
        conv(x, 64, 1),
        chain(x, (48, 1), (64, 5)),
        chain(x, (64, 1), (96, 3), (96, 3)),
        pooled_conv(x, pooled),
    ]
    return layers.Concatenate(name=name)(branches)


def _block_17(x: Any, width: int, name: str) -> Any:
    tall, wide = (7, 1), (1, 7)
    branches = [
        conv(x, 192, 1),
        chain(x, (width, 1), (width, wide), (192, tall)),
        chain(x, (width, 1), (width, tall), (width, wide), (width, tall), (192, wide)),
        pooled_conv(x, 192),
    ]
    return layers.Concatenate(name=name)(branches)


def _block_8(x: Any, number: int) -> Any:
    """The third and the fourth branch end in two kernels side by side, 1 x 3 and 3 x 1."""
    single = conv(x, 320, 1)
    short = conv(x, 384, 1)
    pair = [conv(short, 384, (1, 3)), conv(short, 384, (3, 1))]
    short = layers.Concatenate(name=f"mixed9_{number}")(pair)
    long = chain(x, (448, 1), (384, 3))
    long = layers.Concatenate()([conv(long, 384, (1, 3)), conv(long, 384, (3, 1))])
    branches = [single, short, long, pooled_conv(x, 192)]
    return layers.Concatenate(name=f"mixed{9 + number}")(branches)


def _body(x: Any) -> Any:
    x = stem(x)
    for i, pooled in enumerate((32, 64, 64)):
        x = _block_35(x, pooled, f"mixed{i}")
    branches = [
        conv(x, 384, 3, 2, "valid"),
        conv(chain(x, (64, 1), (96, 3)), 96, 3, 2, "valid"),
        layers.MaxPooling2D(3, 2)(x),
    ]
    x = layers.Concatenate(name="mixed3")(branches)
    for i, width in enumerate((128, 160, 160, 192), start=4):
        x = _block_17(x, width, f"mixed{i}")
    branches = [
        conv(conv(x, 192, 1), 320, 3, 2, "valid"),
        conv(chain(x, (192, 1), (192, (1, 7)), (192, (7, 1))), 192, 3, 2, "valid"),
        layers.MaxPooling2D(3, 2)(x),
    ]
    x = layers.Concatenate(name="mixed8")(branches)
    return _block_8(_block_8(x, 0), 1)


InceptionV3 = network(
    Design(
        "InceptionV3", "inception_v3", _body, _SOURCE,
        published(
            f"{KERAS}/inception_v3",
            (f"{_FILE}.h5", "9a0d58056eeedaa3f26cb7ebd46da564"),
            (f"{_FILE}_notop.h5", "bcbd6486424b2319ff4ef7d526e38f63"),
        ),
        size=299, least=75,
    )
)  # fmt: skip
