"""A first training or graph does nothing once for each shape that it could do once for all."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from counting import compilations

from kgraph import Input, Model, layers
from kgraph.compiler.packing import stack_rows, take_rows
from kgraph.layers.base import symbolic
from kgraph.training.state import copied


def compilations_of_a_first_fit(widths: list[int]) -> int:
    inputs = x = Input((widths[0],))
    for width in widths[1:]:
        x = layers.Dense(width)(x)
    model = Model(inputs, x)
    model.compile("adam", "mse")
    rows = [np.zeros((8, width), np.float32) for width in (widths[0], widths[-1])]
    return compilations(lambda: model.fit(*rows, epochs=1, verbose=0))


def test_more_shapes_are_not_more_compilations():
    assert compilations_of_a_first_fit([3, 5]) >= 1
    assert compilations_of_a_first_fit([7, 11, 13, 17, 19]) <= 3


def test_equal_layers_of_layers_are_traced_once(monkeypatch):
    traced: list[str] = []
    evaluate = symbolic._evaluate

    def counting(layer: Any, *rest: Any) -> Any:
        traced.append(type(layer).__name__)
        return evaluate(layer, *rest)

    monkeypatch.setattr(symbolic, "_evaluate", counting)
    x = Input((6, 12))
    for heads in (3, 3, 2):
        x = layers.MultiHeadAttention(heads, 5)(x, x)
    assert traced.count("MultiHeadAttention") == 2


def test_a_first_prediction_traces_the_model_once():
    traced: list[tuple[int, ...]] = []

    class Noted(layers.Layer):
        def call(self, inputs):
            traced.append(inputs.shape)
            return inputs

    inputs = Input((3,))
    model = Model(inputs, Noted()(layers.Conv1D(2, 1)(layers.Reshape((3, 1))(inputs))))
    traced.clear()
    for rows in (2, 2, 5):
        assert model.predict(np.zeros((rows, 3), np.float32), verbose=0).shape == (rows, 3, 2)
    assert traced == [(2, 3, 2), (5, 3, 2)]


def test_rows_and_copies_have_memory_of_their_own():
    rows = list(jax.device_put(np.arange(12, dtype=np.float32).reshape(3, 4)))
    whole = stack_rows(rows)
    found = take_rows(whole, 3)
    twin = copied({"whole": whole, "key": jax.random.key(1)})
    donated = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf, tree), donate_argnums=0)
    donated({"whole": whole, "rows": rows})
    np.testing.assert_array_equal(found, np.arange(12).reshape(3, 4))
    np.testing.assert_array_equal(twin["whole"], np.arange(12).reshape(3, 4))
