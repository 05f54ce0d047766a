"""FeatureSpace against Keras', whose own needs TensorFlow: run where it is installed."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import kgraph

tf: Any = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
COLUMNS = {
    "f": [0.5, 1.0, 2.0, 3.5], "g": [0.0, 1.0, 2.0, 3.0], "n": [1.0, 2.0, 3.0, 5.0],
    "d": [0.0, 5.0, 10.0, 20.0], "i": [3, 3, 5, 7], "s": ["a", "b", "a", "c"],
    "ih": [1, 2, 3, 4], "sh": ["x", "y", "z", "x"],
}  # fmt: skip


def _space(kind: Any, output_mode: str) -> Any:
    made = kind(
        {
            "f": "float", "g": kind.float_rescaled(2.0, 1.0), "n": "float_normalized",
            "d": kind.float_discretized(3), "i": "integer_categorical",
            "s": "string_categorical", "ih": kind.integer_hashed(5), "sh": kind.string_hashed(4),
        },
        crosses=[("i", "s"), kind.cross(("s", "sh"), 6)], crossing_dim=4,
        output_mode=output_mode,
    )  # fmt: skip
    made.adapt(COLUMNS)
    return made


@pytest.mark.parametrize("output_mode", ["concat", "dict"])
def test_vectors_and_files_are_keras(output_mode, tmp_path):
    ours, theirs = (_space(K.utils.FeatureSpace, output_mode) for K in (kgraph, keras))
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    here = kgraph.models.load_model(tmp_path / "theirs.keras")
    there = keras.models.load_model(tmp_path / "ours.keras")
    expected = theirs(COLUMNS)
    for made in (ours(COLUMNS), here(COLUMNS), there(COLUMNS)):
        if output_mode == "concat":
            np.testing.assert_allclose(made, expected, rtol=1e-6)
            continue
        assert set(made) == set(expected)
        for name, array in expected.items():
            np.testing.assert_allclose(made[name], array, rtol=1e-6, err_msg=name)


def test_it_maps_a_dataset_and_adapts_to_one():
    space = kgraph.utils.FeatureSpace({"f": "float_normalized", "s": "string_categorical"})
    rows = tf.data.Dataset.from_tensor_slices({name: COLUMNS[name] for name in ("f", "s")})
    space.adapt(rows)
    made = list(rows.batch(2).map(space))
    assert [tuple(item.shape) for item in made] == [(2, 5), (2, 5)]
    columns = {name: COLUMNS[name] for name in ("f", "s")}
    np.testing.assert_allclose(np.concatenate(made), space(columns), rtol=1e-6)
    assert rows.batch(2).map(space).element_spec.shape == (None, 5)
