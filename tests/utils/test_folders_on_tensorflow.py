"""`format="tf"` of the datasets of folders and series, where TensorFlow is installed."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import kgraph

tf: Any = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for kind in ("cat", "dog"):
        (tmp_path / kind).mkdir()
        for i in range(3):
            pixels = random.integers(0, 256, (6, 6, 3), "uint8")
            Image.fromarray(pixels).save(tmp_path / kind / f"{i}.png")
            (tmp_path / kind / f"{i}.txt").write_text(f"{kind} {i}")
    return tmp_path


def _same(ours: Any, theirs: Any) -> None:
    assert isinstance(ours, tf.data.Dataset)
    assert ours.element_spec == theirs.element_spec
    assert int(ours.cardinality()) == int(theirs.cardinality())
    for one, two in zip(ours, theirs, strict=True):
        for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(two), strict=True):
            if a.dtype == tf.string:
                assert np.array_equal(a.numpy(), b.numpy())
            else:
                np.testing.assert_allclose(a, b, atol=1e-3)


@pytest.mark.parametrize("batch_size", [4, None])
def test_datasets_are_keras(folder, batch_size):
    options: dict[str, Any] = {"shuffle": False, "format": "tf", "verbose": False}
    ours, theirs = (
        K.utils.image_dataset_from_directory(
            folder, image_size=(6, 6), batch_size=batch_size, **options
        )
        for K in (kgraph, keras)
    )
    _same(ours, theirs)
    assert ours.class_names == theirs.class_names == ["cat", "dog"]
    _same(*(
        K.utils.text_dataset_from_directory(folder, batch_size=batch_size, **options)
        for K in (kgraph, keras)
    ))  # fmt: skip


def test_windows_and_both_parts(folder):
    series = np.arange(10.0, dtype="float32")
    ours = kgraph.utils.timeseries_dataset_from_array(
        series, series[3:], 3, batch_size=2, format="tf"
    )
    found = [(x.numpy().tolist(), y.numpy().tolist()) for x, y in ours.take(1)]
    assert found == [([[0, 1, 2], [1, 2, 3]], [3, 4])]
    parts = kgraph.utils.text_dataset_from_directory(
        folder, validation_split=0.5, subset="both", seed=1, format="tf", verbose=False
    )
    assert [int(part.cardinality()) for part in parts] == [1, 1]
