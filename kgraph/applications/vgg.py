"""VGG: stacks of 3 x 3 convolutions and pooling, then three dense layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kgraph import layers
from kgraph.applications.network import Design, network
from kgraph.applications.pretrained import KERAS, Pretrained, published
from kgraph.models import Model
from kgraph.types import ActivationLike

if TYPE_CHECKING:
    pass


_SOURCE = """Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", arXiv:1409.1556, table 1, columns D and E."""
_WIDTHS = (64, 128, 256, 512, 512)


def _body(depths: Sequence[int]) -> Callable[[Any], Any]:
    def body(x: Any) -> Any:
        for block, (depth, width) in enumerate(zip(depths, _WIDTHS), start=1):
            for i in range(1, depth + 1):
                x = layers.Conv2D(
                    width, 3, padding="same", activation="relu", name=f"block{block}_conv{i}"
                )(x)
            x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
        return x

    return body


def _top(x: Any, classes: int, activation: ActivationLike | None) -> Any:
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(4096, "relu", name="fc1")(x)
    x = layers.Dense(4096, "relu", name="fc2")(x)
    return layers.Dense(classes, activation, name="predictions")(x)


def _vgg(name: str, depths: Sequence[int], pretrained: Pretrained) -> Callable[..., Model]:
    design = Design(
        name.upper(), name, _body(depths), _SOURCE, pretrained, top=_top, fixed=True
    )  # fmt: skip
    return network(design)


def _files(name: str, top: str, body: str) -> Pretrained:
    file = f"{name}_weights_tf_dim_ordering_tf_kernels"
    return published(f"{KERAS}/{name}", (f"{file}.h5", top), (f"{file}_notop.h5", body))


VGG16 = _vgg(
    "vgg16", (2, 2, 3, 3, 3),
    _files("vgg16", "64373286793e3c8b2b4e3219cbf3544b", "6d6bbae143d832006294945121d1f1fc"),
)  # fmt: skip
VGG19 = _vgg(
    "vgg19", (2, 2, 4, 4, 4),
    _files("vgg19", "cbe5617147190e668d6c5d5026f83318", "253f8cb515780f3b799900260a226db6"),
)  # fmt: skip
