"""ConvNeXt: a convolutional network with the sizes, norms and activations of a transformer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from kgraph import layers
from kgraph.applications.imagenet_utils import MEAN, STD, decode_predictions
from kgraph.applications.imagenet_utils import same_input as preprocess_input
from kgraph.applications.network import Design, Request, Shape, Weights, assemble, document
from kgraph.applications.pretrained import KERAS, published
from kgraph.graph import SymbolicTensor
from kgraph.models import Model, Sequential
from kgraph.types import ActivationLike

__all__ = [
    "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtTiny", "ConvNeXtXLarge",
    "decode_predictions", "preprocess_input",
]  # fmt: skip

_SOURCE = """Liu, Mao, Wu, Feichtenhofer, Darrell and Xie, "A ConvNet for the 2020s",
    arXiv:2201.03545, appendix A.4."""
_MORE = """
        include_preprocessing: whether images of 0 to 255 are taken, not normalized ones."""
_TINY, _DEEPER = (3, 3, 9, 3), (3, 3, 27, 3)
"""Blocks in each stage."""


def _norm(name: str | None) -> Any:
    return layers.LayerNormalization(epsilon=1e-6, name=name)


def _block(x: Any, name: str) -> Any:
    width = x.shape[-1]
    depthwise = layers.Conv2D(width, 7, padding="same", groups=width, name=f"{name}_depthwise_conv")
    y = _norm(f"{name}_layernorm")(depthwise(x))
    y = layers.Dense(4 * width, name=f"{name}_pointwise_conv_1")(y)
    y = layers.Activation("gelu", name=f"{name}_gelu")(y)
    y = layers.Dense(width, name=f"{name}_pointwise_conv_2")(y)
    y = layers.BranchScale(1e-6, width, name=f"{name}_layer_scale")(y)
    return x + layers.Activation("linear", name=f"{name}_identity")(y)


def _body(x: Any, depths: Sequence[int], width: int, name: str, scaled: bool) -> Any:
    if scaled and x.shape[-1] == 3:
        mean, variance = [255 * m for m in MEAN], [(255 * s) ** 2 for s in STD]
        normalize = layers.Normalization(
            mean=mean, variance=variance, name=f"{name}_prestem_normalization"
        )
        x = normalize(x)
    for stage, depth in enumerate(depths):
        filters, i = width << stage, stage - 1
        if stage == 0:
            convolution = layers.Conv2D(filters, 4, 4, name=f"{name}_stem_conv")
            smaller = Sequential(
                [convolution, _norm(f"{name}_stem_layernorm")], name=f"{name}_stem"
            )
        else:
            convolution = layers.Conv2D(filters, 2, 2, name=f"{name}_downsampling_conv_{i}")
            smaller = Sequential(
                [_norm(f"{name}_downsampling_layernorm_{i}"), convolution],
                name=f"{name}_downsampling_block_{i}",
            )
        x = smaller(x)
        for block in range(depth):
            x = _block(x, f"{name}_stage_{stage}_block_{block}")
    return x


def _top(x: Any, classes: int, activation: ActivationLike | None, name: str) -> Any:
    x = layers.GlobalAveragePooling2D(name=f"{name}_head_gap")(x)
    x = _norm(f"{name}_head_layernorm")(x)
    return layers.Dense(classes, activation, name=f"{name}_head_dense")(x)


def _convnext(
    kind: str, depths: Sequence[int], width: int, top: str, body: str
) -> Callable[..., Model]:
    title, own_name = f"ConvNeXt{kind}", f"convnext_{kind.lower()}"
    files = published(f"{KERAS}/convnext", (f"{own_name}.h5", top), (f"{own_name}_notop.h5", body))

    def create(
        include_top: bool = True,
        include_preprocessing: bool = True,
        weights: Weights = "imagenet",
        input_tensor: SymbolicTensor | None = None,
        input_shape: Shape | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: ActivationLike | None = "softmax",
        name: str = own_name,
    ) -> Model:
        design = Design(
            title, name,
            partial(_body, depths=depths, width=width, name=name, scaled=include_preprocessing),
            _SOURCE, files, top=partial(_top, name=name), end=_norm(None),
        )  # fmt: skip
        request = Request(
            include_top, weights, input_tensor, input_shape, pooling, classes,
            classifier_activation, name,
        )  # fmt: skip
        return assemble(design, request)

    create.__name__ = create.__qualname__ = title
    create.__doc__ = document(title, _SOURCE, more=_MORE)
    return create


ConvNeXtTiny = _convnext(
    "Tiny", _TINY, 96, "8ae6e78ce2933352b1ef4008e6dd2f17bc40771563877d156bc6426c7cf503ff",
    "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
)  # fmt: skip
ConvNeXtSmall = _convnext(
    "Small", _DEEPER, 96, "ce1277d8f1ee5a0ef0e171469089c18f5233860ceaf9b168049cb9263fd7483c",
    "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab",
)  # fmt: skip
ConvNeXtBase = _convnext(
    "Base", _DEEPER, 128, "52cbb006d3dadd03f6e095a8ca1aca47aecdd75acb4bc74bce1f5c695d0086e6",
    "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45",
)  # fmt: skip
ConvNeXtLarge = _convnext(
    "Large", _DEEPER, 192, "070c5ed9ed289581e477741d3b34beffa920db8cf590899d6d2c67fba2a198a6",
    "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd",
)  # fmt: skip
ConvNeXtXLarge = _convnext(
    "XLarge", _DEEPER, 256, "c1f5ccab661354fc3a79a10fa99af82f0fbf10ec65cb894a3ae0815f17a889ee",
    "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05",
)  # fmt: skip
