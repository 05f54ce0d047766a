"""Memory of a training step, from the compiled step."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from kgraph import Input, Model, layers
from kgraph.errors import ConfigError, StateError
from kgraph.training.memory import largest_batch


def made(loss: Any = "sparse_categorical_crossentropy") -> Model:
    x = inputs = Input((64,))
    x = layers.Dense(32, activation="tanh")(x)
    model = Model(inputs, layers.Dense(4, activation="softmax")(x))
    model.compile("adam", loss)
    return model


@pytest.mark.filterwarnings("ignore:All labels of the first batch")
def test_memory_is_known_before_any_data():
    model = made()
    forecast = model.memory(16)
    params = 4 * model.count_params()
    state = 3 * params  # the weights, and Adam's two averages
    rows = 16 * (64 * 4 + 4)
    assert state + rows <= forecast.arguments <= state + rows + 200
    assert state <= forecast.aliased <= forecast.outputs <= state + 500
    assert forecast.temporary >= 16 * 32 * 4
    total = forecast.arguments + forecast.outputs - forecast.aliased + forecast.temporary
    assert forecast.total == total
    assert "aliased" in repr(forecast)
    assert "total" in repr(forecast)
    before = len(model.compile_report())
    assert model.memory(16) is forecast
    assert len(model.compile_report()) == before == 1
    assert model.compile_report()[0].function == "memory forecast"
    x, y = np.zeros((32, 64), "float32"), np.zeros(32, "int32")
    model.fit(x, y, batch_size=16, verbose=0)
    assert model.memory(16) is forecast, "training needs the same step"


def test_targets_may_be_described():
    model = made(lambda y, p: ((y[:, :1] - p) ** 2).mean(-1))
    wide = jax.ShapeDtypeStruct((1, 1000), "float32")
    narrow = jax.ShapeDtypeStruct((9, 10), "float32")
    more = model.memory(4, y=wide).arguments - model.memory(4, y=narrow).arguments
    assert more == 4 * 990 * 4
    fixed = Input((2,), batch_size=3)
    bound = Model(fixed, layers.Dense(1)(fixed))
    bound.compile("sgd", "mse")
    with pytest.raises(ConfigError, match="has one size only"):
        bound.max_batch_size(1000)
    with pytest.raises(StateError, match="compiled before memory"):
        Model(*[Input((2,))] * 2).memory()


@pytest.mark.slow
def test_the_largest_batch_fits_and_one_more_row_does_not():
    model = made()
    limit = model.memory(500).total + 100
    best = model.max_batch_size(limit)
    assert model.memory(best).total <= limit < model.memory(best + 1).total
    assert len(model.compile_report()) <= 9


def test_the_search_needs_few_measurements():
    tried: list[int] = []

    def measure(size: int) -> int:
        tried.append(size)
        return 1000 + 37 * size + (500 if size > 300 else 0)

    assert largest_batch(measure, 50_000, 32, 1 << 24) == (50_000 - 1500) // 37
    assert len(tried) <= 6
    tried.clear()
    assert largest_batch(measure, 10**12, 32, 4096) == 4096
    assert len(tried) <= 4
    assert largest_batch(lambda n: n, 1, 32, 4096) == 1
    with pytest.raises(ConfigError, match=r"(?s)one row fits.*1\.013 KiB.*1000 B"):
        largest_batch(measure, 1000, 32, 4096)
