"""The networks of the literature, layer by layer and number by number against Keras' own."""

from __future__ import annotations

import inspect
import os
from typing import Any

import jax
import keras
import numpy as np
import pytest
from keras_zeros import keras_starts_with_zeros  # noqa: F401

import kgraph
from kgraph import applications
from kgraph.keras_forms import INSIDE

QUICK = ("VGG16", "ResNet50", "MobileNetV2", "Xception", "ConvNeXtTiny")
SLOW = (
    "VGG19", "ResNet101", "ResNet50V2", "DenseNet121", "MobileNet", "MobileNetV3Large",
    "MobileNetV3Small", "InceptionV3", "EfficientNetB0", "EfficientNetV2B0",
    "NASNetMobile", "InceptionResNetV2",
)  # fmt: skip
LARGE = (
    "ResNet152", "ResNet101V2", "ResNet152V2", "DenseNet169", "DenseNet201", "EfficientNetB3",
    "EfficientNetB7", "EfficientNetV2B1", "EfficientNetV2B3", "EfficientNetV2S",
    "EfficientNetV2M", "EfficientNetV2L", "ConvNeXtSmall", "ConvNeXtXLarge", "NASNetLarge",
)  # fmt: skip
"""Larger ones of the same designs: compared with KGRAPH_THOROUGH=1."""
THOROUGH = bool(os.environ.get("KGRAPH_THOROUGH"))
_TRIED = (*SLOW, *LARGE) if THOROUGH else SLOW
NAMES = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in _TRIED)]
OPTIONS = (
    "filters", "units", "kernel_size", "strides", "padding", "use_bias", "activation", "epsilon",
    "momentum", "scale", "center", "rate", "max_value", "pool_size", "depth_multiplier", "offset",
    "target_shape", "groups", "init_values", "projection_dim", "cropping", "mean", "variance",
)  # fmt: skip


def theirs_of(name: str, **options: Any) -> Any:
    """Returns Keras' network; some of its layers add axes, which our tests forbid."""
    with jax.numpy_rank_promotion("allow"):
        return getattr(keras.applications, name)(**options)


def _described(layer: Any) -> tuple[Any, ...]:
    """A layer as both libraries see it; names that were given automatically do not count."""
    config = layer.get_config()
    options = {key: _plain(key, config[key]) for key in OPTIONS if config.get(key) is not None}
    automatic = layer.name.rstrip("0123456789_") in _automatic(type(layer).__name__)
    kind = INSIDE.get(type(layer).__name__, ("", type(layer).__name__))[1]
    return kind, None if automatic else layer.name, options


def _automatic(kind: str) -> tuple[str, ...]:
    return (keras.src.utils.naming.to_snake_case(kind).rstrip("0123456789_"), "input_layer")


def _plain(key: str, value: Any) -> Any:
    """An option in one form: pairs for both axes, tuples, floats to nine places."""
    if key in ("kernel_size", "strides", "pool_size") and isinstance(value, int):
        return (value, value)
    if key == "padding" and isinstance(value, int):
        return ((value, value), (value, value))
    if isinstance(value, (list, tuple)):
        return tuple(tuple(v) if isinstance(v, (list, tuple)) else v for v in value)
    return round(value, 9) if isinstance(value, float) else value


@pytest.mark.parametrize("name", NAMES)
def test_layers_and_weights_are_keras(name):
    ours = getattr(applications, name)(weights=None)
    theirs = theirs_of(name, weights=None)
    assert ours.name == theirs.name
    for mine, other in zip(ours.layers, theirs.layers, strict=True):
        _same_layer(mine, other)
    assert _reads(ours) == _their_reads(theirs)
    shapes = [tuple(w.shape) for w in theirs.weights if not w.path.startswith("normalization")]
    assert [tuple(w.shape) for w in ours.weights] == shapes


def _reads(model: Any) -> list[list[int]]:
    """Returns for each node the places of the nodes that it reads."""
    places = {node.name: i for i, node in enumerate(model.graph.nodes)}
    return [[places[ref.node] for ref in node.inputs] for node in model.graph.nodes]


def _their_reads(model: Any) -> list[list[int]]:
    places = {operation.name: i for i, operation in enumerate(model.operations)}
    nodes = [operation._inbound_nodes[-1] for operation in model.operations]
    return [[places[parent.operation.name] for parent in node.parent_nodes] for node in nodes]


def _same_layer(mine: Any, other: Any) -> None:
    kind, name, options = _described(mine)
    their_kind, their_name, their_options = _described(other)
    assert kind == their_kind
    assert their_name in (name, None)
    for key in options.keys() & their_options.keys():
        assert options[key] == their_options[key], (name, key)
    if not name or "input" not in name:
        assert tuple(mine.output.shape) == tuple(other.output.shape), name


@pytest.mark.parametrize("name", [*QUICK, *SLOW, *LARGE])
def test_arguments_are_keras(name):
    ours = inspect.signature(getattr(applications, name)).parameters
    theirs = inspect.signature(getattr(keras.applications, name)).parameters
    assert list(ours) == list(theirs)
    assert [p.default for p in ours.values()] == [p.default for p in theirs.values()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [("ResNet50", 40), ("ResNet50V2", 40), ("DenseNet121", 32), ("MobileNet", 45),
     ("MobileNetV2", 45), ("MobileNetV3Small", 45), ("MobileNetV3Large", 45),
     ("EfficientNetB0", 45), ("Xception", 71), ("InceptionV3", 75),
     *((("EfficientNetV2B0", 45), ("EfficientNetV2S", 37), ("ConvNeXtTiny", 33),
        ("NASNetMobile", 35), ("InceptionResNetV2", 75)) if THOROUGH else ())],
)  # fmt: skip
def test_numbers_are_keras(name, size):
    """With the same weights; odd sizes make the paddings show."""
    options: dict[str, Any] = {"weights": None, "include_top": False, "pooling": "avg"}
    options["input_shape"] = (size, size, 3)
    ours = getattr(applications, name)(**options)
    theirs = theirs_of(name, **options)
    random = np.random.default_rng(0)
    ours.set_weights([_likely(w, random) for w in ours.weights])
    values = iter(ours.get_weights())
    for layer in theirs.layers:
        if type(layer).__name__ == "Normalization" and layer.weights:
            constants = ours.get_layer("normalization").get_config()
            layer.set_weights(
                [np.float32(constants["mean"]), np.float32(constants["variance"]), np.int32(0)]
            )
        elif layer.weights:
            layer.set_weights([next(values) for _ in layer.weights])
    scaled = "Efficient" in name or "ConvNeXt" in name
    images = random.uniform(0, 255 if scaled else 1, (2, size, size, 3))
    images = images.astype("float32")

    def run(trainable: Any, rest: Any, x: Any) -> Any:
        return theirs.stateless_call(trainable, rest, x, training=False)[0]

    state = [
        [v.value for v in x] for x in (theirs.trainable_variables, theirs.non_trainable_variables)
    ]
    with jax.numpy_rank_promotion("allow"):
        expected = np.asarray(jax.jit(run)(*state, images))
    assert np.std(expected) > 1e-4
    np.testing.assert_allclose(
        ours.predict(images, verbose=0), expected, rtol=2e-4, atol=2e-4 * np.abs(expected).max()
    )


def _likely(weight: Any, random: np.random.Generator) -> np.ndarray:
    """Values that keep signals near their size through 200 layers."""
    shape, name = tuple(weight.shape), weight.name
    if "kernel" in name:
        fan = np.prod(shape[:2]) if "depthwise" in name else np.prod(shape[:-1])
        return (random.normal(size=shape) * np.sqrt(2 / fan)).astype("float32")
    if name in ("gamma", "moving_variance"):
        return random.uniform(0.5, 1.5, shape).astype("float32")
    return (0.1 * random.normal(size=shape)).astype("float32")


def test_a_network_starts_from_a_tensor_of_the_users_own():
    images = kgraph.Input((32, 32, 3), name="photo")
    doubled = kgraph.layers.Rescaling(2.0)(images)
    model = applications.MobileNetV2(
        weights=None, include_top=False, input_tensor=doubled, pooling="max", alpha=0.35
    )
    assert model.inputs[0] is images
    assert model.output_shape == (None, 1280)
    features = applications.ResNet50(weights=None, include_top=False)
    assert features.output_shape == (None, None, None, 2048)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": "imagenet", "classes": 10}, r"1000 classes[\s\S]*include_top=False"),
        ({"weights": None, "pooling": "mean"}, "pooling"),
        ({"weights": None, "input_shape": (16, 16, 3)}, r"at least 32[\s\S]*\(16, 16, 3\)"),
        ({"weights": None, "input_shape": (32, 3)}, "shape"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(options, words):
    with pytest.raises(kgraph.errors.ConfigError, match=words):
        applications.ResNet50(**options)


def test_weights_that_nobody_published_are_refused():
    with pytest.raises(kgraph.errors.ConfigError, match=r"no published weights[\s\S]*weights=None"):
        applications.MobileNet(alpha=0.3)
    with pytest.raises(kgraph.errors.ConfigError, match=r"\(224, 224, 3\)[\s\S]*include_top=False"):
        applications.VGG16(input_shape=(64, 64, 3))


def test_a_layer_that_is_not_there_is_named_without_a_page_of_others():
    model = applications.ResNet50(weights=None)
    with pytest.raises(kgraph.errors.ConfigError, match=r"\(177 in all\)[\s\S]*conv5_block3_out"):
        model.get_layer("conv5_block3_oud")
