"""Published weights and class names: fetched once, checked, and read as Keras reads them."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras_zeros import keras_starts_with_zeros  # noqa: F401

import kgraph
from kgraph import applications
from kgraph.applications import imagenet_utils, mobilenet_v2, pretrained, vgg
from kgraph.datasets import download as downloads


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Answers downloads from a folder; what was asked for is kept in a list."""
    monkeypatch.setenv("KGRAPH_HOME", str(tmp_path / "home"))
    asked: list[str] = []

    def download(url: str, target: Path, wanted: str | None, name: str, timeout: Any) -> None:
        asked.append(url)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((tmp_path / name).read_bytes())

    monkeypatch.setattr(downloads, "download", download)
    return tmp_path, asked


def _write_as_keras_did(path: Path, model: Any, values: list[np.ndarray], more: bool) -> None:
    """Writes weights as the files of `keras.applications` hold them: a group for each layer."""
    numbers = iter(values)
    with h5py.File(path, "w") as file:
        layers = [layer.name for layer in model.layers] + ["normalization"] * more
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for layer in model.layers:
            group, names = file.create_group(layer.name), []
            weights = [*layer.trainable_weights, *layer.non_trainable_weights]
            for i, weight in enumerate(weights):
                names.append(f"{layer.name}/{layer.name}_W_{i}:0")
                group[names[-1]] = next(numbers).reshape(weight.shape)
            group.attrs["weight_names"] = [name.encode() for name in names]
        if more:
            group = file.create_group("normalization")
            group["normalization/mean:0"] = np.zeros(3, "float32")
            group.attrs["weight_names"] = [b"normalization/mean:0"]


def _small(**options: Any) -> Any:
    return applications.MobileNetV2(alpha=0.35, include_top=False, **options)


def test_published_weights_are_loaded_and_kept(server):
    folder, asked = server
    model = _small(weights=None)
    weights = [w for layer in model.layers for w in
               [*layer.trainable_weights, *layer.non_trainable_weights]]  # fmt: skip
    random = np.random.default_rng(0)
    values = [random.normal(size=w.shape).astype("float32") for w in weights]
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
    _write_as_keras_did(folder / name, model, values, more=True)

    loaded = _small()  # weights="imagenet" is what everybody writes
    assert asked == [f"{pretrained.KERAS}/mobilenet_v2/{name}"]
    paired = zip(loaded.layers, model.layers, strict=True)
    ours = [w for layer, _ in paired for w in
            [*layer.trainable_weights, *layer.non_trainable_weights]]  # fmt: skip
    for weight, value in zip(ours, values, strict=True):
        np.testing.assert_array_equal(np.asarray(weight), value)
    _small()
    assert len(asked) == 1, "the second time it is in the cache"


def test_a_cached_file_with_another_digest_is_fetched_again(server):
    folder, asked = server
    (folder / "a.h5").write_bytes(b"right")
    file = pretrained.remote("https://host/a.h5", hashlib.md5(b"right").hexdigest())
    path = downloads.fetch(file)
    assert downloads.fetch(file) == path
    assert len(asked) == 1
    path.write_bytes(b"wrong")
    assert downloads.fetch(file).read_bytes() == b"right"
    assert len(asked) == 2


def test_a_file_that_lacks_weights_is_refused(server):
    folder, _ = server
    model = _small(weights=None)
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
    with h5py.File(folder / name, "w") as file:
        file.attrs["layer_names"] = [b"Conv1"]
        file.create_group("Conv1").attrs["weight_names"] = [b"k:0"]
        file["Conv1/k:0"] = np.zeros(model.get_layer("Conv1").kernel.shape, "float32")
    with pytest.raises(kgraph.errors.ConfigError, match=r"do not fit[\s\S]*bn_Conv1"):
        _small()


def test_every_file_has_its_own_address():
    files = [vgg._files("vgg16", "a", "b"), mobilenet_v2._files(1.4, 224)]
    assert files[0].top.url.endswith("vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5")
    assert files[1].body.url.endswith("_kernels_1.4_224_no_top.h5")


@pytest.mark.parametrize(
    ("module", "names", "kind"),
    [
        ("convnext", ("Tiny", "Small", "Base", "Large", "XLarge"), "sha256"),
        ("efficientnet_v2", ("B0", "B1", "B2", "B3", "S", "M", "L"), "md5"),
    ],
)
def test_files_and_digests_are_those_that_keras_publishes(module, names, kind, monkeypatch):
    ours = getattr(applications, module)
    theirs = importlib.import_module(f"keras.src.applications.{module}")
    monkeypatch.setattr(ours, "assemble", lambda design, request: design)
    hashes = zip(names, theirs.WEIGHTS_HASHES.values(), strict=True)
    for name, wanted in hashes:
        title = f"ConvNeXt{name}" if module == "convnext" else f"EfficientNetV2{name}"
        design = getattr(ours, title)()
        files = design.pretrained.top, design.pretrained.body
        assert [file.wanted for file in files] == [f"{kind}:{digest}" for digest in wanted]
        address = f"{theirs.BASE_WEIGHTS_PATH}{design.name}"
        assert [file.url for file in files] == [f"{address}.h5", f"{address}_notop.h5"]


@pytest.mark.parametrize(("module", "number"), [("inception_resnet_v2", 2), ("nasnet", 4)])
def test_digests_stand_in_the_text_of_keras(module, number):
    ours = inspect.getsource(importlib.import_module(f"kgraph.applications.{module}"))
    theirs = inspect.getsource(importlib.import_module(f"keras.src.applications.{module}"))
    digests = set(re.findall('"([0-9a-f]{32,64})"', ours))
    assert len(digests) == number
    assert [digest for digest in digests if f'"{digest}"' not in theirs] == []


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_images_are_prepared_as_keras_prepares_them(mode, data_format):
    shape = (2, 4, 5, 3) if data_format == "channels_last" else (2, 3, 4, 5)
    images = np.random.default_rng(1).uniform(0, 255, shape).astype("float32")
    kept = images.copy()
    ours = imagenet_utils.preprocess_input(images, data_format, mode)
    theirs = keras.applications.imagenet_utils.preprocess_input(images.copy(), data_format, mode)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(images, kept)
    symbol = kgraph.Input(shape[1:])
    model = kgraph.Model(symbol, imagenet_utils.preprocess_input(symbol, data_format, mode))
    np.testing.assert_allclose(model.predict(images, verbose=0), theirs, rtol=1e-5, atol=1e-5)
    whole = images.astype("uint8")
    assert imagenet_utils.preprocess_input(whole, data_format, mode).dtype == "float32"


def test_each_module_prepares_images_in_its_own_way():
    images = np.random.default_rng(2).uniform(0, 255, (1, 2, 2, 3)).astype("float32")
    for name in (
        "vgg16", "vgg19", "resnet", "resnet50", "resnet_v2", "mobilenet", "mobilenet_v2",
        "xception", "inception_v3", "densenet", "efficientnet", "efficientnet_v2", "convnext",
        "nasnet", "inception_resnet_v2",
    ):  # fmt: skip
        ours = getattr(applications, name).preprocess_input(images)
        theirs = getattr(keras.applications, name).preprocess_input(images.copy())
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5, err_msg=name)


def test_classes_by_name(server, monkeypatch):
    folder, _ = server
    names = {str(i): [f"n{i:08}", f"thing_{i}"] for i in range(1000)}
    (folder / "imagenet_class_index.json").write_text(json.dumps(names))
    monkeypatch.setattr(
        imagenet_utils,
        "_CLASSES",
        pretrained.remote("https://h/imagenet_class_index.json", ""),
    )
    probabilities = np.zeros((2, 1000), "float32")
    probabilities[0, [3, 7]] = 0.25, 0.75
    probabilities[1, 999] = 1.0
    found = applications.vgg16.decode_predictions(probabilities, top=2)
    assert found[0] == [("n00000007", "thing_7", 0.75), ("n00000003", "thing_3", 0.25)]
    assert found[1][0] == ("n00000999", "thing_999", 1.0)
    with pytest.raises(kgraph.errors.DataError, match=r"\(batch, 1000\)[\s\S]*\(2, 10\)"):
        applications.vgg16.decode_predictions(np.zeros((2, 10)))
