"""Small networks of the designs with many blocks: what each layer makes, and files both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import h5py
import jax
import keras
import numpy as np
import pytest
from keras.src.applications import convnext as their_convnext
from keras.src.applications import efficientnet_v2 as their_efficientnet_v2
from keras.src.applications import inception_resnet_v2 as their_inception
from keras.src.applications import nasnet as their_nasnet
from keras.src.legacy.saving import legacy_h5_format
from keras_zeros import keras_starts_with_zeros  # noqa: F401

import kgraph
from kgraph.applications import convnext, efficientnet_v2, inception_resnet_v2, nasnet
from kgraph.applications.network import Design, network


def _ours(title: str, body: Callable[[Any], Any], size: int, **options: Any) -> Any:
    made = network(Design(title, title, body, "", **options))
    return made(weights=None, include_top=False, input_shape=(size, size, 3))


def _efficientnets() -> tuple[Any, Any]:
    name = "efficientnetv2-b0"
    body = partial(
        efficientnet_v2._body, stages=efficientnet_v2._B, stem=32, width=0.25, depth=0.1,
        like_b0=True, scaled=True,
    )  # fmt: skip
    theirs = their_efficientnet_v2.EfficientNetV2(
        0.25, 0.1, 33, name=name, include_top=False, weights=None, input_shape=(33, 33, 3)
    )
    return _ours(name, body, 33), theirs


def _convnexts() -> tuple[Any, Any]:
    depths, widths = (1, 2, 1, 1), [8, 16, 32, 64]
    body = partial(convnext._body, depths=depths, width=8, name="small", scaled=True)
    theirs = their_convnext.ConvNeXt(
        depths, widths, name="small", include_top=False, input_shape=(33, 33, 3)
    )
    return _ours("small", body, 33, end=convnext._norm(None)), theirs


def _nasnets() -> tuple[Any, Any]:
    body = partial(nasnet._body, filters=8, blocks=1, stem=8, skips=True)
    theirs = their_nasnet.NASNet(
        (35, 35, 3), 192, 1, 8, True, include_top=False, weights=None, name="small"
    )
    return _ours("small", body, 35), theirs


def _inception_blocks() -> tuple[Any, Any]:
    def body(x: Any) -> Any:
        x = inception_resnet_v2._block_35(x, "block35_1")
        x = inception_resnet_v2._block_17(x, "block17_1")
        return inception_resnet_v2._block_8(x, "block8_1", last=True)

    x = images = keras.Input((5, 5, 3))
    for kind, scale in (("block35", 0.17), ("block17", 0.1), ("block8", 1.0)):
        last = None if kind == "block8" else "relu"
        x = their_inception.inception_resnet_block(x, scale, kind, 1, last)
    ours = kgraph.Input((5, 5, 3))
    return kgraph.Model(ours, body(ours), name="small"), keras.Model(images, x, name="small")


PAIRS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "EfficientNetV2": _efficientnets,
    "ConvNeXt": _convnexts,
    "NASNet": _nasnets,
    "InceptionResNetV2": _inception_blocks,
}


@pytest.fixture(autouse=True)
def keras_adds_axes() -> Iterator[None]:
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_each_layer_makes_what_keras_makes(name, tmp_path):
    ours, theirs = PAIRS[name]()
    random = np.random.default_rng(0)
    theirs.set_weights([random.uniform(0.2, 0.6, w.shape) - 0.2 * (w.ndim > 1) for w in
                        theirs.get_weights()])  # fmt: skip
    theirs.save_weights(tmp_path / "new.weights.h5")
    ours.load_weights(tmp_path / "new.weights.h5")
    images = random.uniform(0, 9, (2, *ours.input_shape[1:])).astype("float32")
    names = [layer.name for layer in ours.layers if not hasattr(layer, "layers")]
    expected = keras.Model(theirs.inputs, _made(theirs)).predict(images, verbose=0)
    made = kgraph.Model(ours.inputs, _made(ours)).predict(images, verbose=0)
    for name, one, two in zip(names, made, expected, strict=True):
        scale = np.abs(two).max()
        assert scale > 1e-6, name
        np.testing.assert_allclose(one, two, rtol=0, atol=3e-5 * scale, err_msg=name)


def _made(model: Any) -> list[Any]:
    """Returns what the layers of a model make, of inner models only what follows from it."""
    return [layer.output for layer in model.layers if not hasattr(layer, "layers")]


def _filled(theirs: Any) -> Any:
    random = np.random.default_rng(1)
    theirs.set_weights([random.normal(size=w.shape) for w in theirs.get_weights()])
    return theirs


def _assert_same_weights(one: Any, two: Any) -> None:
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_older_files_fit_a_network_with_models_inside(tmp_path):
    """The published files of ConvNeXt are of this kind: the weights of an inner model in a list."""
    ours, theirs = _convnexts()
    with h5py.File(tmp_path / "old.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, _filled(theirs))
    ours.load_weights(tmp_path / "old.h5")
    _assert_same_weights(ours, theirs)


def test_keras_files_hold_the_layers_of_single_networks(tmp_path):
    theirs = their_convnext.ConvNeXt(
        (1, 1, 1, 2), [2, 4, 4, 4], 0.5, name="small", include_top=False, input_shape=(32, 32, 3)
    )
    x = their_inception.CustomScaleLayer(0.25)([theirs.output, theirs.output])
    theirs = _filled(keras.Model(theirs.inputs, x))
    theirs.save(tmp_path / "theirs.keras")
    ours = kgraph.saving.load_model(tmp_path / "theirs.keras")
    kinds = {type(layer) for layer in ours.layers}
    L = kgraph.layers
    assert {L.BranchScale, L.BranchDropout, L.ScaledAdd} <= kinds
    _assert_same_weights(ours, theirs)
    ours.save(tmp_path / "ours.keras")
    back = keras.saving.load_model(tmp_path / "ours.keras")
    _assert_same_weights(ours, back)
    assert [type(layer) for layer in back.layers] == [type(layer) for layer in theirs.layers]
    assert back.layers[-1].scale == 0.25
