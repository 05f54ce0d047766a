"""Layers on tensors of TensorFlow and in `tf.data`: with TensorFlow, where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kgraph
from kgraph.errors import DataError

tf: Any = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
L = kgraph.layers
NUMBERS = np.arange(24, dtype="float32").reshape(4, 2, 3)
TEXTS = np.array([["a b", "c"], ["b", "d a b"]])
IMAGES = np.linspace(0, 255, 2 * 8 * 8 * 3, dtype="float32").reshape(2, 8, 8, 3)
CASES: dict[str, tuple[Callable[[], Any], Any]] = {
    "Rescaling": (lambda: L.Rescaling(0.5), NUMBERS),
    "Normalization": (lambda: L.Normalization(mean=1.0, variance=4.0), NUMBERS),
    "Resizing": (lambda: L.Resizing(4, 5), IMAGES),
    "CenterCrop": (lambda: L.CenterCrop(4, 5), IMAGES),
    "CategoryEncoding": (lambda: L.CategoryEncoding(5), np.array([[1, 2], [3, 4]])),
    "Discretization": (lambda: L.Discretization([1.0, 5.0]), NUMBERS),
    "Hashing": (lambda: L.Hashing(7), TEXTS),
    "IntegerLookup": (lambda: L.IntegerLookup(vocabulary=[3, 5]), np.array([3, 4, 5])),
    "StringLookup": (lambda: L.StringLookup(vocabulary=["b", "c"]), TEXTS),
    "TextVectorization": (
        lambda: L.TextVectorization(vocabulary=["a", "b"], output_sequence_length=3), TEXTS[:, 0],
    ),
    "Dense": (lambda: L.Dense(2, kernel_initializer="ones"), NUMBERS),
}  # fmt: skip


@pytest.mark.parametrize(("make", "data"), CASES.values(), ids=CASES)
def test_a_layer_gives_tensors_what_it_gives_arrays(make: Callable[[], Any], data: Any) -> None:
    layer = make()
    expected = np.asarray(layer(data))
    np.testing.assert_allclose(layer(tf.constant(data)).numpy(), expected, rtol=1e-6)
    batches = tf.data.Dataset.from_tensor_slices(data).batch(2).map(layer)
    found = np.concatenate(list(batches.as_numpy_iterator()))
    np.testing.assert_allclose(found, np.asarray(expected), rtol=1e-6)
    shape = batches.element_spec.shape
    assert shape[0] is None
    assert shape[1:] == expected.shape[1:]
    assert batches.element_spec.dtype.as_numpy_dtype == expected.dtype


def test_a_model_is_trained_on_what_tf_data_prepares() -> None:
    vectorize = L.TextVectorization(vocabulary=["a", "b"], output_sequence_length=3)
    texts = tf.data.Dataset.from_tensor_slices((TEXTS[:, 0], np.ones((2, 1), "float32"))).batch(2)
    model = kgraph.Sequential([L.Embedding(4, 2), L.Flatten(), L.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(texts.map(lambda x, y: (vectorize(x), y)), epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_a_random_layer_draws_anew_for_each_item() -> None:
    flip = L.RandomContrast(0.5)
    items = tf.data.Dataset.from_tensors(IMAGES).repeat(2).map(lambda x: flip(x, training=True))
    first, second = items.as_numpy_iterator()
    assert not np.allclose(first, second)


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (lambda: tf.ragged.constant([[1.0], [2.0, 3.0]]), r"RaggedTensor[\s\S]*to_tensor\(\)"),
        (lambda: tf.sparse.from_dense([[1.0, 0.0]]), r"SparseTensor[\s\S]*tf\.sparse\.to_dense"),
    ],
)
def test_tensors_of_other_kinds_are_named(tensor: Callable[[], Any], text: str) -> None:
    with pytest.raises(DataError, match=text):
        L.Rescaling(2.0)(tensor())


def test_an_unknown_rank_is_named() -> None:
    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32)])
    def double(x: Any) -> Any:
        return L.Rescaling(2.0)(x)

    with pytest.raises(Exception, match=r"how many axes[\s\S]*ensure_shape"):
        double(tf.ones((2, 3)))
