"""ResNet, second version: norms stand before the convolutions, and shortcuts carry plain sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from kgraph import layers
from kgraph.applications.imagenet_utils import decode_predictions
from kgraph.applications.imagenet_utils import tf_input as preprocess_input
from kgraph.applications.network import Design, network
from kgraph.applications.resnet import norm_relu, residual_files, stem
from kgraph.models import Model

if TYPE_CHECKING:
    pass


__all__ = ["ResNet50V2", "ResNet101V2", "ResNet152V2", "decode_predictions", "preprocess_input"]

_SOURCE = """He, Zhang, Ren and Sun, "Identity Mappings in Deep Residual Networks",
    arXiv:1603.05027, figure 1 (b)."""


def _block(x: Any, filters: int, strides: int, widen: bool, name: str) -> Any:
    ready = norm_relu(x, f"{name}_preact")
    if widen:
        shortcut = layers.Conv2D(4 * filters, 1, strides, name=f"{name}_0_conv")(ready)
    elif strides > 1:
        shortcut = layers.MaxPooling2D(1, strides)(x)
    else:
        shortcut = x
    y = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_1_conv")(ready)
    y = norm_relu(y, f"{name}_1")
    y = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(y)
    y = layers.Conv2D(filters, 3, strides, use_bias=False, name=f"{name}_2_conv")(y)
    y = norm_relu(y, f"{name}_2")
    y = layers.Conv2D(4 * filters, 1, name=f"{name}_3_conv")(y)
    return layers.Add(name=f"{name}_out")([shortcut, y])


def _body(x: Any, depths: Sequence[int]) -> Any:
    x = stem(x, bias=True, norm=False)
    for stage, depth in enumerate(depths):
        for i in range(depth):
            strides = 2 if stage < len(depths) - 1 and i == depth - 1 else 1
            x = _block(x, 64 << stage, strides, not i, f"conv{stage + 2}_block{i + 1}")
    return norm_relu(x, "post")


def _resnet(depths: Sequence[int], top: str, body: str) -> Callable[..., Model]:
    size = 3 * sum(depths) + 2
    name = f"resnet{size}v2"
    files = residual_files(name, top, body)
    return network(Design(f"ResNet{size}V2", name, partial(_body, depths=depths), _SOURCE, files))


ResNet50V2 = _resnet(
    (3, 4, 6, 3), "3ef43a0b657b3be2300d5770ece849e0", "fac2f116257151a9d068a22e544a4917"
)
ResNet101V2 = _resnet(
    (3, 4, 23, 3), "6343647c601c52e1368623803854d971", "c0ed64b8031c3730f411d2eb4eea35b5"
)
ResNet152V2 = _resnet(
    (3, 8, 36, 3), "a49b44d1979771252814e80f8ec446f9", "ed17cf2e0169df9d443503ef94b23b33"
)
