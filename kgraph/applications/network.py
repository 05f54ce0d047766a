"""What all networks have in common: their arguments, and what stands before and after the body."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kgraph import layers
from kgraph.applications.pretrained import Pretrained, load_pretrained
from kgraph.errors import ConfigError, check_choice
from kgraph.graph import SymbolicTensor
from kgraph.graph.walk import sources
from kgraph.models import Model
from kgraph.types import ActivationLike

Shape = Sequence[int | None]
Weights = str | os.PathLike[str] | None


def classifier(x: Any, classes: int, activation: ActivationLike | None) -> Any:
    """Averages a feature map over its places, and classifies: `[batch, classes]`."""
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return layers.Dense(classes, activation, name="predictions")(x)


@dataclass(frozen=True)
class Design:
    """A published network for images with three channels, channels last.

    Args:
        title: of the function that makes its models.
        name: of the models, by default.
        body: from images to the last feature map.
        source: where it was published.
        pretrained: the published weights; None if there are none for these options.
        top: from the last feature map, the number of classes and the activation to the outputs.
        size: height and width of the images that the classifier was trained on.
        least: smallest height and width.
        fixed: whether the classifier takes images of its own size only.
        end: what stands last where there is no classifier, behind the pooling.
    """

    title: str
    name: str
    body: Callable[[Any], Any]
    source: str
    pretrained: Pretrained | None = None
    top: Callable[[Any, int, Any], Any] = classifier
    size: int = 224
    least: int = 32
    fixed: bool = False
    end: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class Request:
    """What a caller may choose of any network; `document` explains it."""

    include_top: bool
    weights: Weights
    input_tensor: SymbolicTensor | None
    input_shape: Shape | None
    pooling: str | None
    classes: int
    classifier_activation: Any
    name: str


def network(design: Design) -> Callable[..., Model]:
    """Returns the function that makes models of a design, with the arguments that all share."""

    def create(
        include_top: bool = True,
        weights: Weights = "imagenet",
        input_tensor: SymbolicTensor | None = None,
        input_shape: Shape | None = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: ActivationLike | None = "softmax",
        name: str = design.name,
    ) -> Model:
        request = Request(
            include_top, weights, input_tensor, input_shape, pooling, classes,
            classifier_activation, name,
        )  # fmt: skip
        return assemble(design, request)

    create.__name__ = create.__qualname__ = design.title
    create.__module__ = getattr(design.body, "func", design.body).__module__
    create.__doc__ = document(design.title, design.source, design.size, design.least)
    return create


def document(title: str, source: str, size: int = 224, least: int = 32, more: str = "") -> str:
    """Returns the docstring of the function that makes a design's models.

    Args:
        title, source, size, least: of the design.
        more: descriptions of the arguments that only this network has.
    """
    return f"""Returns the network {title} as a functional model.

    Shapes: images `[batch, {size}, {size}, 3]` in, `[batch, classes]` out; float32.
    Without the classifier, any size of at least {least}; it may be left open.

    Args:
        include_top: whether the classifier is there.
        weights: "imagenet" for the published ones, downloaded once; None for random ones; or the
            path of a file for `load_weights`.
        input_tensor: a symbolic tensor to start from, in the place of `input_shape`.
        input_shape: of an image, without the batch axis.
        pooling: without the classifier: None, "avg" or "max" over the last feature map.
        classes: number of outputs of the classifier.
        classifier_activation: of the outputs; None for logits.
        name: of the model.{more}

    Raises:
        ConfigError: the arguments do not go together.
        DataError: the weights cannot be downloaded.

    Source: {source}
    """


def assemble(design: Design, request: Request) -> Model:
    """Returns a model of a design as a caller wants it."""
    _check(design, request)
    images = request.input_tensor
    if images is None:
        images = layers.Input(_image_shape(design, request))
    x = design.body(images)
    if request.include_top:
        x = design.top(x, request.classes, request.classifier_activation)
    elif request.pooling == "avg":
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    elif request.pooling == "max":
        x = layers.GlobalMaxPooling2D(name="max_pool")(x)
    if not request.include_top and design.end is not None:
        x = design.end(x)
    inputs = sources(images)
    model = Model(inputs[0] if len(inputs) == 1 else inputs, x, name=request.name)
    if request.weights == "imagenet" and design.pretrained is not None:
        load_pretrained(model, design.pretrained, request.include_top)
    elif request.weights is not None:
        model.load_weights(request.weights)
    return model


def _check(design: Design, request: Request) -> None:
    check_choice(design.title, "pooling", request.pooling, (None, "avg", "max"))
    if request.weights != "imagenet":
        return
    if design.pretrained is None:
        raise ConfigError(
            f"There are no published weights of {design.title} with these options",
            hint="weights=None for random ones, or the path of a weights file",
        )
    if request.include_top and request.classes != 1000:
        raise ConfigError(
            f"The published weights of {design.title} know 1000 classes",
            received=f"classes={request.classes}",
            hint=[
                "include_top=False, pooling='avg' and a Dense layer of your own on top,",
                "or weights=None to train all of it",
            ],
        )


def _image_shape(design: Design, request: Request) -> Shape:
    """Returns the shape of an image, checked."""
    own = (design.size, design.size, 3)
    if request.input_shape is None:
        return own if request.include_top else (None, None, 3)
    shape = tuple(request.input_shape)
    pretrained = request.weights == "imagenet"
    wrong = len(shape) != 3 or any(size is not None and size < design.least for size in shape[:2])
    wrong = wrong or (pretrained and shape[2] != 3)
    if wrong or (request.include_top and design.fixed and pretrained and shape != own):
        expected = f"(height, width, 3), height and width at least {design.least}"
        raise ConfigError(
            f"{design.title} does not take images of this shape",
            expected=f"{own}" if not wrong else expected,
            received=f"input_shape={shape}",
            hint="include_top=False takes other sizes" if not wrong else None,
        )
    return shape


def trained_size(shape: Shape | None, sizes: Sequence[int] = (128, 160, 192, 224)) -> int:
    """Returns the size of the images whose published weights go with a shape: 224 if none do."""
    if shape is None or len(shape) != 3:
        return 224
    height, width = shape[:2]
    return height if height is not None and height == width and height in sizes else 224
