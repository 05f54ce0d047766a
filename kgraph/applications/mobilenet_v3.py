"""MobileNetV3: MobileNetV2's blocks with squeeze-and-excitation and cheaper activations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kgraph import layers
from kgraph.applications.imagenet_utils import decode_predictions
from kgraph.applications.imagenet_utils import same_input as preprocess_input
from kgraph.applications.mobile import padding_for_stride, width_in_eights
from kgraph.applications.network import Design, Request, Shape, Weights, assemble, document
from kgraph.applications.pretrained import KERAS, Pretrained, published
from kgraph.graph import SymbolicTensor
from kgraph.models import Model
from kgraph.types import ActivationLike

__all__ = ["MobileNetV3Large", "MobileNetV3Small", "decode_predictions", "preprocess_input"]

_SOURCE = """Howard and others, "Searching for MobileNetV3", arXiv:1905.02244, tables 1 and 2."""
_Block = tuple[float, int, int, int, bool, bool]
_LARGE: tuple[_Block, ...] = (
    (1, 16, 3, 1, False, False), (4, 24, 3, 2, False, False), (3, 24, 3, 1, False, False),
    (3, 40, 5, 2, True, False), (3, 40, 5, 1, True, False), (3, 40, 5, 1, True, False),
    (6, 80, 3, 2, False, True), (2.5, 80, 3, 1, False, True), (2.3, 80, 3, 1, False, True),
    (2.3, 80, 3, 1, False, True), (6, 112, 3, 1, True, True), (6, 112, 3, 1, True, True),
    (6, 160, 5, 2, True, True), (6, 160, 5, 1, True, True), (6, 160, 5, 1, True, True),
)  # fmt: skip
_SMALL: tuple[_Block, ...] = (
    (1, 16, 3, 2, True, False), (72 / 16, 24, 3, 2, False, False),
    (88 / 24, 24, 3, 1, False, False), (4, 40, 5, 2, True, True), (6, 40, 5, 1, True, True),
    (6, 40, 5, 1, True, True), (3, 48, 5, 1, True, True), (3, 48, 5, 1, True, True),
    (6, 96, 5, 2, True, True), (6, 96, 5, 1, True, True), (6, 96, 5, 1, True, True),
)  # fmt: skip
"""Widening, filters, kernel, strides, whether channels are weighed, whether it is hard_silu."""
_FILES = {
    "large_224_0.75": ("765b44a33ad4005b3ac83185abf1d0eb", "40af19a13ebea4e2ee0c676887f69a2e"),
    "large_224_1.0": ("59e551e166be033d707958cf9e29a6a7", "07fb09a5933dd0c8eaafa16978110389"),
    "large_minimalistic_224_1.0": (
        "675e7b876c45c57e9e63e6d90a36599c", "ec5221f64a2f6d1ef965a614bdae7973",
    ),
    "small_224_0.75": ("cb65d4e5be93758266aa0a7f2c6708b7", "ebdb5cc8e0b497cd13a7c275d475c819"),
    "small_224_1.0": ("8768d4c2e7dee89b9d02b2d03d65d862", "d3e8ec802a04aa4fc771ee12a9a9b836"),
    "small_minimalistic_224_1.0": (
        "99cd97fb2fcdad2bf028eb838de69e37", "cde8136e733e811080d9fcd8a252f7e4",
    ),
}  # fmt: skip
"""MD5 of the files with the classifier, and without."""
_MORE = """
        alpha: factor of the number of filters of all layers.
        minimalistic: whether kernels are 3, channels are not weighed, and all activations are ReLU.
        dropout_rate: before the classifier.
        include_preprocessing: whether images of 0 to 255 are taken, not of -1 to 1."""


def _mobilenet_v3(kind: str, blocks: tuple[_Block, ...], last: int) -> Callable[..., Model]:
    title = f"MobileNetV3{kind.capitalize()}"

    def create(
        input_shape: Shape | None = None,
        alpha: float = 1.0,
        minimalistic: bool = False,
        include_top: bool = True,
        weights: Weights = "imagenet",
        input_tensor: SymbolicTensor | None = None,
        classes: int = 1000,
        pooling: str | None = None,
        dropout_rate: float = 0.2,
        classifier_activation: ActivationLike | None = "softmax",
        include_preprocessing: bool = True,
        name: str = title,
    ) -> Model:
        activation = layers.ReLU if minimalistic else partial(layers.Activation, "hard_silu")
        width = width_in_eights(last * alpha) if alpha > 1 else last
        design = Design(
            title, name,
            partial(_body, blocks=blocks, alpha=alpha, activation=activation, plain=minimalistic,
                    scaled=include_preprocessing),
            _SOURCE, _files(f"{kind}{'_minimalistic' * minimalistic}_224_{float(alpha)}"),
            partial(_top, width=width, activation=activation, dropout=dropout_rate),
        )  # fmt: skip
        if input_shape is None and input_tensor is None:
            input_shape = (None, None, 3)
        request = Request(
            include_top, weights, input_tensor, input_shape, pooling, classes,
            classifier_activation, name,
        )  # fmt: skip
        return assemble(design, request)

    create.__name__ = create.__qualname__ = title
    create.__doc__ = document(title, _SOURCE, more=_MORE)
    return create


def _files(name: str) -> Pretrained | None:
    if name not in _FILES:
        return None
    file = f"weights_mobilenet_v3_{name}_float"
    top, body = _FILES[name]
    return published(f"{KERAS}/mobilenet_v3", (f"{file}.h5", top), (f"{file}_no_top_v2.h5", body))


def _body(
    x: Any, blocks: tuple[_Block, ...], alpha: float, activation: Any, plain: bool, scaled: bool
) -> Any:
    if scaled:
        x = layers.Rescaling(1 / 127.5, offset=-1.0)(x)
    x = layers.Conv2D(16, 3, 2, padding="same", use_bias=False, name="conv")(x)
    x = activation()(_norm(x, "conv_bn"))
    for number, (widening, filters, kernel, strides, weighed, swish) in enumerate(blocks):
        x = _block(
            x, widening, width_in_eights(filters * alpha), 3 if plain else kernel, strides,
            weighed and not plain, activation if swish else layers.ReLU, number,
        )  # fmt: skip
    width = width_in_eights(x.shape[-1] * 6)
    x = layers.Conv2D(width, 1, padding="same", use_bias=False, name="conv_1")(x)
    return activation()(_norm(x, "conv_1_bn"))


def _top(x: Any, classes: int, last: Any, width: int, activation: Any, dropout: float) -> Any:
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = activation()(layers.Conv2D(width, 1, padding="same", name="conv_2")(x))
    if dropout > 0:
        x = layers.Dropout(dropout)(x)
    x = layers.Conv2D(classes, 1, padding="same", name="logits")(x)
    return layers.Activation(last, name="predictions")(layers.Flatten()(x))


def _block(
    x: Any, widening: float, filters: int, kernel: int, strides: int, weighed: bool,
    activation: Any, number: int,
) -> Any:  # fmt: skip
    entered, channels = x, x.shape[-1]
    width = width_in_eights(channels * widening)
    name = f"expanded_conv_{number}_" if number else "expanded_conv_"
    if number:
        x = layers.Conv2D(width, 1, padding="same", use_bias=False, name=f"{name}expand")(x)
        x = activation()(_norm(x, f"{name}expand_bn"))
    if strides == 2:
        x = layers.ZeroPadding2D(padding_for_stride(x, kernel), name=f"{name}depthwise_pad")(x)
    x = layers.DepthwiseConv2D(
        kernel, strides, "same" if strides == 1 else "valid", use_bias=False,
        name=f"{name}depthwise",
    )(x)  # fmt: skip
    x = activation()(_norm(x, f"{name}depthwise_bn"))
    if weighed:
        x = _weighed(x, width, f"{name}squeeze_excite_")
    x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"{name}project")(x)
    x = _norm(x, f"{name}project_bn")
    if strides == 1 and channels == filters:
        x = layers.Add(name=f"{name}add")([entered, x])
    return x


def _weighed(x: Any, channels: int, name: str) -> Any:
    """Weighs the channels of a feature map by what the whole image shows."""
    y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}avg_pool")(x)
    y = layers.Conv2D(width_in_eights(channels / 4), 1, padding="same", name=f"{name}conv")(y)
    y = layers.ReLU(name=f"{name}relu")(y)
    y = layers.Conv2D(channels, 1, padding="same", name=f"{name}conv_1")(y)
    y = layers.ReLU(6.0)(y + 3.0) * (1 / 6)
    return layers.Multiply(name=f"{name}mul")([x, y])


def _norm(x: Any, name: str) -> Any:
    return layers.BatchNormalization(momentum=0.999, epsilon=1e-3, name=name)(x)


MobileNetV3Large = _mobilenet_v3("large", _LARGE, 1280)
MobileNetV3Small = _mobilenet_v3("small", _SMALL, 1024)
