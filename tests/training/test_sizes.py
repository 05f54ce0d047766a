"""Data and batches of many sizes are compiled for a few times, with the numbers of each size."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from counting import compilations

import kgraph as keras
from kgraph.training import device_rows, rows_work
from kgraph.training.engine import Engine
from kgraph.training.sizes import Sizes, room_for_data

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 6)).astype("float32")
Y = RNG.normal(size=(400, 2)).astype("float32")


def model(normalized: bool = False) -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(5, activation="tanh")(inputs)
    if normalized:
        hidden = keras.layers.BatchNormalization()(hidden)
    made = keras.Model(inputs, keras.layers.Dense(2)(hidden))
    made.compile("adam", "mse", metrics=["mae"])
    return made


def compiled(made: keras.Model, what: str) -> int:
    return sum(entry.function.startswith(what) for entry in made.compile_report())


@pytest.mark.parametrize("normalized", [False, True])
def test_data_that_grow_are_compiled_for_once(normalized):
    made = model(normalized)
    for rows in range(96, 321, 32):
        made.fit(X[:rows], Y[:rows], batch_size=32, verbose=0)
    assert compiled(made, "train") == 1
    for rows in (97, 130, 300):  # one for last batches that are smaller
        made.fit(X[:rows], Y[:rows], batch_size=32, verbose=0)
    assert compiled(made, "train") <= 2


def two_batches(rows: int) -> Iterator[Any]:
    yield X[:32], Y[:32]
    yield X[32:rows], Y[32:rows]


def test_streams_of_any_last_batch_are_compiled_for_twice():
    made = model(normalized=True)
    for rows in (38, 45, 63):
        batches: Any = partial(two_batches, rows)
        made.fit(batches, verbose=0)
    assert compiled(made, "train") == 2


def test_spare_rows_change_no_number(monkeypatch):
    def trained() -> list[np.ndarray]:
        made = model()
        made.fit(X[:100], Y[:100], batch_size=32, epochs=2, verbose=0)
        return made.get_weights()

    roomy = trained()
    for module in (device_rows, rows_work):
        monkeypatch.setattr(module, "room_for_data", lambda rows, row_bytes: rows)
    for a, b in zip(roomy, trained(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("call", ["predict", "predict_on_batch", "evaluate", "test_on_batch"])
@pytest.mark.parametrize("sizes", [range(1, 33), range(32, 0, -1)], ids=["up", "down"])
def test_few_sizes_serve_all_small_batches(call, sizes):
    made = model()
    weights = made.get_weights()
    hidden = np.tanh(X[:32] @ weights[0] + weights[1]) @ weights[2] + weights[3]
    for rows in sizes:
        if "predict" in call:
            found = getattr(made, call)(X[:rows], **({"verbose": 0} if call == "predict" else {}))
            np.testing.assert_allclose(found, hidden[:rows], rtol=1e-5, atol=1e-6)
        else:
            options = {"verbose": 0} if call == "evaluate" else {}
            loss, mae = getattr(made, call)(X[:rows], Y[:rows], **options)
            np.testing.assert_allclose(loss, np.mean((hidden[:rows] - Y[:rows]) ** 2), rtol=1e-5)
            np.testing.assert_allclose(mae, np.mean(np.abs(hidden[:rows] - Y[:rows])), rtol=1e-5)
    name = "predict" if "predict" in call else "evaluate"
    assert compiled(made, name) <= 3


@pytest.mark.parametrize(
    ("call", "most"),
    [("predict", 3), ("evaluate", 4), ("train_on_batch", 4), ("fit", 2)],  # and the logs
)
def test_arrays_of_jax_are_compiled_for_as_rarely(call, most):
    made = model()
    made.get_weights()
    rows = (100, 130, 390) if call == "fit" else (2, 3, 5, 7, 30, 31, 32)
    options = {} if call == "train_on_batch" else {"verbose": 0}
    data = [(jax.device_put(X[:n]), jax.device_put(Y[:n])) for n in rows]

    def use() -> None:
        for x, y in data:
            getattr(made, call)(*((x,) if call == "predict" else (x, y)), **options)

    assert compilations(use) <= most


def test_train_on_batch_of_any_small_size():
    made, steps = model(), []
    for rows in range(1, 33):
        steps.append(made.train_on_batch(X[:rows], Y[:rows])[0])
    assert compiled(made, "train") <= 3
    exact = model()
    assert steps[0] == pytest.approx(exact.train_on_batch(X[:1], Y[:1])[0], rel=1e-6)
    assert steps[1] == pytest.approx(exact.train_on_batch(X[:2], Y[:2])[0], rel=1e-5)


def test_statistics_of_batches_of_any_small_size(monkeypatch):
    def trained() -> tuple[keras.Model, list]:
        made = model(normalized=True)
        return made, [made.train_on_batch(X[:rows], Y[:rows]) for rows in (4, 5, 6, 7, 8, 3, 2)]

    made, found = trained()
    assert compiled(made, "train") <= 4  # of 4 and 8 rows, with padding and without
    monkeypatch.setattr(Engine, "pads_last", False)
    exact, expected = trained()
    assert compiled(exact, "train") == 7
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_model_that_mixes_rows_is_not_padded():
    made = keras.Sequential([keras.Input((6,)), Centred(), keras.layers.Dense(2)])
    made.compile("adam", "mse")
    for rows in (4, 5, 6):
        made.train_on_batch(X[:rows], Y[:rows])
    assert compiled(made, "train") == 3


def test_the_rules():
    sizes = Sizes()
    assert [sizes.room(n) for n in (100, 100, 101, 90, 3, 1, 30, 5)] == [
        100, 100, 128, 100, 8, 8, 100, 8,
    ]  # fmt: skip
    assert [room_for_data(n, 40) for n in (1, 1024, 1025, 60_000)] == [1024, 1024, 1280, 65536]
    assert room_for_data(3, 2**23) == 3  # large rows get no room that they do not need
    assert room_for_data(0, 4) == 1024


def test_one_step_of_many_rows_is_not_padded_to_all_of_them():
    made = model()
    made.evaluate(X, Y, batch_size=32, steps=1, verbose=0)
    assert made.predict(X, batch_size=32, steps=1, verbose=0).shape == (32, 2)
    predictor = made._kgraph.trainer._predictor
    assert predictor is not None
    assert predictor.sizes._known == []


class Seen(keras.layers.Layer, traits=keras.Traits(rows_independent=True)):
    """Notes for how many rows it is traced."""

    def build(self, input_shape):
        self.rows = []

    def call(self, inputs):
        self.rows.append(inputs.shape[0])
        return inputs * 2


class Centred(keras.layers.Layer, traits=keras.Traits(rows_independent=False)):
    def call(self, inputs):
        return inputs - inputs.mean(0, keepdims=True)


@pytest.mark.parametrize("sizes", [range(1, 33), range(32, 0, -1)], ids=["up", "down"])
def test_two_executables_serve_calls_on_few_rows(sizes):
    seen = Seen()
    inputs = {"a": keras.Input((6,), name="a"), "b": keras.Input((6,), name="b")}
    total = keras.layers.Add()([seen(inputs["a"]), inputs["b"]])
    made = keras.Model(inputs, {"sum": total, "twice": keras.layers.Rescaling(2.0)(total)})
    made({"a": X[:40], "b": X[:40]})  # what is found out of a layer once
    del seen.rows[:]
    for rows in sizes:
        found = made({"a": X[:rows], "b": X[100 : 100 + rows]})
        expected = 2 * X[:rows] + X[100 : 100 + rows]
        np.testing.assert_allclose(found["sum"], expected, rtol=1e-6)
        np.testing.assert_allclose(found["twice"], 2 * expected, rtol=1e-6)
    assert len(set(seen.rows)) <= 2
    assert len(seen.rows) <= 2


def test_calls_that_mix_rows_or_are_traced_are_not_padded():
    ranks = keras.Sequential([keras.Input((6,)), Centred()])
    made = model()
    jitted = jax.jit(made)
    for rows in (3, 5, 7):
        np.testing.assert_allclose(ranks(X[:rows]).mean(0), np.zeros(6), atol=1e-6)
        assert jitted(X[:rows]).shape == (rows, 2)
        assert made(jax.device_put(X[:rows], jax.devices()[1])).devices() == {jax.devices()[1]}
